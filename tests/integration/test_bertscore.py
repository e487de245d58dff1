"""BERTScore is the reference library's on the same encoder, and is computed once."""

from __future__ import annotations

import json
from pathlib import Path

import bert_score
import numpy as np
import pytest
from click.testing import CliRunner

from tests.tiny import make_base
from tutelage import settings
from tutelage.cli.entry import cli
from tutelage.errors import UsageError
from tutelage.evaluation import bertscore as module
from tutelage.evaluation.metrics import METRICS
from tutelage.evaluation.scoring import statistics
from tutelage.labels.splitting import example_id
from tutelage.project import open_project
from tutelage.tasks.text import EMPTY, TextTask

GOLD = ["the fox and the grapes", "the young crab and his mother", "belling the cat", "a wolf"]
FOUND = ["a fox and grapes", None, "belling the cat", "mother wolf and the young cat"]
MINILM = settings.weights_folder() / "minilm"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("tiny"), GOLD)


def compared(encoder: Path, layers: int) -> tuple[np.ndarray, np.ndarray]:
    """Our scores and the library's, (n, 3) each, of the answers that are there."""
    task = TextTask("title", ("text",), "", encoder=str(encoder), encoder_layers=layers)
    names = ("bertscore_precision", "bertscore_recall", "bertscore_f1")
    ours = np.stack([METRICS.load(name)(task, GOLD, FOUND).scores for name in names], axis=1)
    there = [at for at, text in enumerate(FOUND) if text is not None]
    assert ours[1].tolist() == [0, 0, 0]
    theirs = bert_score.score(
        [FOUND[at] for at in there], [GOLD[at] for at in there], model_type=str(encoder), num_layers=layers
    )
    return ours[there], np.stack([part.numpy() for part in theirs], axis=1)


@pytest.mark.parametrize("layers", [1, 2])
def test_a_tiny_encoder_scores_as_the_library_does(tiny: Path, layers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    _bounded(tiny)
    ours, theirs = compared(tiny, layers)
    assert ours == pytest.approx(np.clip(theirs, 0, 1), abs=1e-6)
    assert ours[1] == pytest.approx([1, 1, 1], abs=1e-6)


@pytest.mark.weights
@pytest.mark.skipif(not MINILM.is_dir(), reason="no weights: python scripts/weights.py minilm")
def test_minilm_scores_as_the_library_does() -> None:
    ours, theirs = compared(MINILM, 6)
    assert ours == pytest.approx(theirs, abs=1e-4)
    assert 0.2 < ours[0][2] < 0.98


def test_a_tokenizer_without_a_limit_cuts_at_the_models_positions(tmp_path: Path) -> None:
    base = make_base(tmp_path, GOLD)  # 64 positions
    task = TextTask("title", ("text",), "", encoder=str(base), encoder_layers=2)
    long = "wolf " * 200
    score = METRICS.load("bertscore_f1")(task, [long], [long]).scores
    assert score == pytest.approx([1], abs=1e-5)


def test_an_encoder_that_cannot_be_used_is_one_line(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"encoder_layers = 7, but .* has 2\. Set at most 2"):
        module.score(str(tiny), 7, [("a", "b")])
    with pytest.raises(UsageError, match=r"encoder = .* cannot be loaded: .*Give a folder with config.json"):
        module.score(str(tmp_path), 1, [("a", "b")])


def test_scores_are_kept_in_the_store_and_follow_the_encoder(tiny: Path, tmp_path: Path) -> None:
    folder = _project(tmp_path, tiny)
    project = open_project(folder)
    first = statistics(project, "test", GOLD, FOUND)
    again = open_project(folder)
    module._scorer.cache_clear()
    found = statistics(again, "test", GOLD, FOUND)
    assert module._scorer.cache_info().currsize == 0  # nothing was loaded
    everything = np.arange(len(GOLD))[None, :]
    assert {name: s(everything).tolist() for name, s in found.items()} == {
        name: s(everything).tolist() for name, s in first.items()
    }
    statistics(again, "test", GOLD, ["another", *FOUND[1:]])
    assert module._scorer.cache_info().currsize == 1


def test_a_project_of_texts_from_files_to_report(tiny: Path, tmp_path: Path) -> None:
    folder = _project(tmp_path, tiny)
    lines = [{"text": f"fable {at}; of foxes", "title": title, "split": "test"} for at, title in enumerate(GOLD)]
    (folder / "fables.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    answers = [
        {"id": example_id({"text": line["text"]}), "value": found, "error": None if found else EMPTY}
        for line, found in zip(lines, FOUND, strict=True)
    ]
    (folder / "answers.jsonl").write_text("".join(json.dumps(line) + "\n" for line in answers), encoding="utf-8")
    for arguments in (["add", str(folder / "fables.jsonl"), "--label", "title"], ["evaluate"], ["report", "--json"]):
        result = CliRunner().invoke(cli, [arguments[0], "-C", str(folder), *arguments[1:]])
        assert result.exit_code == 0, result.output
    row = json.loads(result.stdout)["candidates"][0]
    assert row["violations"] == {"max_characters": 1, "empty": 1}
    assert row["failures"] == 1
    assert row["scores"]["exact_match"]["value"] == 0.25
    assert 0 < row["scores"]["bertscore_f1"]["value"] < 1


def _bounded(tiny: Path) -> None:
    """Give the tokenizer the limit without which the library itself cannot run."""
    path = tiny / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_max_length": 64}))


def _project(tmp_path: Path, tiny: Path) -> Path:
    (tmp_path / "task.toml").write_text(
        f'name = "title"\noutput = "text"\nmax_characters = 25\nencoder = "{tiny}"\nencoder_layers = 2\n'
        '[candidates.recorded]\nfamily = "replay"\nfile = "answers.jsonl"\n',
        encoding="utf-8",
    )
    return tmp_path
