"""`tutelage review` up to the moment at which it would answer."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.reviews import a_review

from tutelage.cli.entry import main
from tutelage.models.loopback import bind


def failed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["review", "--no-browser", *arguments])
    assert ended.value.code == 2
    return capsys.readouterr().err


def test_what_cannot_be_reviewed_is_said_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(a_review(tmp_path).folder)
    assert "There is no example in 'test'. Add some with: tutelage add" in failed(
        capsys, "-C", folder, "--split", "test"
    )
    assert "'best' is not a known order" in failed(capsys, "-C", folder, "--order", "best")
    assert "No cascade" in failed(capsys, "-C", folder, "--order", "threshold")
    with bind(0) as taken:
        taken.listen()
        assert "is in use" in failed(capsys, "-C", folder, "--port", str(taken.getsockname()[1]))
    folder = str(a_review(tmp_path / "assigned", more="assign = true\n").folder)
    assert "names none. Set: annotators" in failed(capsys, "-C", folder)
