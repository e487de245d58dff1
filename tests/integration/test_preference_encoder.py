"""`tutelage leaderboard --base` compares inputs by a sentence encoder, exported once into the project."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.cli.test_verbs import run

pytest.importorskip("torch")
tiny = pytest.importorskip("tests.tiny")

TEXTS = [f"{colour} {thing}" for colour in ("red", "blue", "green", "grey") for thing in ("car", "sea", "hat", "sun")]


def test_domains_and_the_predictor_by_an_encoder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = tiny.make_base(tmp_path / "base", TEXTS)
    (tmp_path / "task.toml").write_text('name = "votes"\noutput = "label"\nlabels = ["a", "b"]\n')
    rows = [
        {"input": text, "model_a": "x", "model_b": "y", "winner": ("a", "b", "tie")[(at + turn) % 3]}
        for at, text in enumerate(TEXTS)
        for turn in range(3)
    ]
    votes = tmp_path / "votes.jsonl"
    votes.write_text("\n".join(map(json.dumps, rows)))
    arguments = ("leaderboard", "--file", votes, "--base", base, "--domains", 2, "--input", "red hat", "-C", tmp_path)
    assert run(*arguments) == 0
    text = capsys.readouterr().out
    assert "by a sentence encoder's vectors on held inputs" in text and "for the input 'red hat'" in text
    assert len(list((tmp_path / "artefacts" / "encoders").iterdir())) == 1
    assert run(*arguments) == 0
    assert capsys.readouterr().out == text
