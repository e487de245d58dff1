"""Family `weak` as a user meets it: rules, Python functions and other candidates give pseudo-labels for students."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.contract import check_files
from tests.unit.cli.test_verbs import last_json, run

from tutelage.errors import StoreError, TaskFileError, TrainingError, UsageError
from tutelage.evaluation.candidates import candidate
from tutelage.labels.splitting import example_id
from tutelage.project import Project, newest_artefact, open_project
from tutelage.routing.weak import functions_of
from tutelage.types import Example, Input, Label, Prediction

TASK = """
name = "moods"
output = "label"
labels = ["good", "bad", "neutral"]

[candidates.rules]
family = "weak"
functions = "rules.py"

[[candidates.rules.rules]]
label = "good"
words = ["glad", "happy"]

[[candidates.rules.rules]]
label = "bad"
pattern = "sad|angr"

[candidates.linear]
family = "linear"
labels = "weak"
effort = "low"
"""
FUNCTIONS = '''
import re

def long(input):
    """Said too often of what is glad."""
    return "neutral" if len(input["text"].split()) > 6 else None

def exclaims(input):
    if "crash" in input["text"]:
        raise ValueError("no such thing")
    return "good" if input["text"].endswith("!") else None

def _hidden(input):
    return "bad"
'''


def texts(n: int = 60) -> list[Input]:
    kinds = ("I am glad and happy {}!", "I am sad {}", "so it is what it is on day {} after all", "nothing {}")
    return [{"text": kinds[at % 4].format(at)} for at in range(n)]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "task.toml").write_text(TASK)
    (tmp_path / "rules.py").write_text(FUNCTIONS)
    project = open_project(tmp_path)
    project.store.examples.add([Example(example_id(one), one, "train") for one in texts()])
    dev = [{"text": f"happy on dev {at}"} for at in range(10)]
    project.store.examples.add([Example(example_id(one), one, "dev") for one in dev])
    project.store.labels.add([Label(example_id(one), "good", "import") for one in dev])
    return project


def predicted(project: Project, inputs: list[Input]) -> list[Prediction]:
    return asyncio.run(candidate(project, "rules").build(project).predict(inputs))


def test_functions_are_trained_label_and_teach(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train", "rules", "-C", project.folder) == 0
    said = capsys.readouterr().out
    assert "60 inputs without labels" in said and "45 of 60 inputs have a vote; 4 functions" in said
    assert "label model 1.000 right on dev (n = 10, " in said and "coverage  overlaps  conflicts  accuracy" in said
    assert run("label", "--by", "rules", "-C", project.folder, "--json") == 0
    report = last_json(capsys)
    assert isinstance(report, dict) and (report["answered"], report["failed"], report["problem"]) == (45, 15, None)
    [(source, _, count)] = [one for one in project.store.labels.counts() if one[1] == "train"]
    assert source == report["source"] and source.startswith("weak:rules@") and count == 45
    assert all(one.distribution for one in project.store.labels.read("train", "weak"))
    assert run("train", "linear", "-C", project.folder) == 0
    assert "(45 weak labels, 10 to choose on)" in capsys.readouterr().out
    assert run("train", "rules", "-C", project.folder) == 0
    assert "is up to date" in capsys.readouterr().out


def test_an_answer_brings_its_distribution_and_silence_is_a_failure(project: Project) -> None:
    run("train", "rules", "-C", project.folder)
    good, silent = predicted(project, [{"text": "happy!"}, {"text": "nothing"}])
    assert good.value == "good" and good.confidence is not None and good.confidence > 0.9
    assert sum(good.parts.values()) == pytest.approx(1, abs=0.01) and good.source == "rules"
    assert silent.value is None and silent.error == "No labelling function says anything about this input."
    assert predicted(project, []) == []
    folder = newest_artefact(project, "rules")
    assert folder is not None
    check_files(folder)


def test_a_retrained_candidates_earlier_pseudo_labels_are_withdrawn(project: Project) -> None:
    assert run("train", "rules", "-C", project.folder) == run("label", "--by", "rules", "-C", project.folder) == 0
    (project.folder / "rules.py").write_text(FUNCTIONS.replace("> 6", "> 20"))
    with pytest.raises(TrainingError, match=r"have changed since it was trained. Run: tutelage train rules"):
        predicted(project, [{"text": "happy"}])
    assert run("train", "rules", "-C", project.folder) == run("label", "--by", "rules", "-C", project.folder) == 0
    sources = [(source, count) for source, split, count in project.store.labels.counts() if split == "train"]
    assert len(sources) == 1 and sources[0][1] == 30


def test_a_function_that_fails_says_nothing_and_is_counted(project: Project) -> None:
    project.store.examples.add([Example("boom", {"text": "crash and glad"}, "train")])
    run("train", "rules", "-C", project.folder)
    folder = newest_artefact(project, "rules")
    assert (
        folder is not None
        and "exclaims failed on 1 inputs, first with ValueError: no such thing" in (folder / "card.json").read_text()
    )
    assert predicted(project, [{"text": "crash and glad"}])[0].value == "good"


def test_other_candidates_vote_and_are_asked_once(project: Project) -> None:
    given = [
        Label(example_id(one), ("good", "bad", "neutral", "bad")[at % 4], "import") for at, one in enumerate(texts())
    ]
    project.store.labels.add(given)
    text = (
        TASK.replace('functions = "rules.py"', 'of = ["small"]')
        + '\n[candidates.small]\nfamily = "linear"\neffort = "low"\n'
    )
    (project.folder / "task.toml").write_text(text)
    project = open_project(project.folder)
    assert run("train", "small", "rules", "-C", project.folder) == 0
    found = predicted(project, texts(8))
    assert all(one.value is not None for one in found) and found[3].value == "bad"
    key = candidate(project, "small").fingerprint(project)
    assert len(project.store.predictions.read(key, [one.id for one in project.store.examples.read("train")])) == 60


def test_an_ensemble_of_small_models_annotates(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    given = [
        Label(example_id(one), ("good", "bad", "neutral", "bad")[at % 4], "import") for at, one in enumerate(texts(20))
    ]
    project.store.labels.add(given)
    small = 'family = "linear"\neffort = "low"\nlabels = "gold"\n'
    (project.folder / "task.toml").write_text(
        f"{TASK}\n[candidates.a]\n{small}\n[candidates.b]\n{small}most = 12\n"
        '[candidates.panel]\nfamily = "vote"\nof = ["a", "b"]\n'
    )
    assert (
        run("train", "a", "b", "-C", project.folder)
        == run("label", "--by", "panel", "-C", project.folder, "--json")
        == 0
    )
    report = last_json(capsys)
    assert isinstance(report, dict) and report["source"].startswith("weak:panel@") and report["answered"] == 60
    # What a person or an import says goes before.
    sources = [one.source for one in project.store.labels.read("train")]
    assert sources.count("import") == 20 and sources.count(report["source"]) == 40


def test_small_models_and_teachers_are_told_apart(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    run("train", "rules", "-C", project.folder)
    capsys.readouterr()
    assert run("label", "--by", "rules", "--budget", "5", "-C", project.folder) == 2
    assert "--budget is for a teacher; 'rules' answers here" in capsys.readouterr().err
    assert run("label", "--by", "rules", "--dry-run", "-C", project.folder) == 0
    assert "Would ask 60 questions" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('label = "good"', 'label = "fine"'), "rule 1: 'fine' is not a label of 'moods'. Labels: good, bad, neutral"),
        (('words = ["glad", "happy"]', ""), r"rule 1 \('good'\) needs words or a pattern"),
        (('"sad|angr"', '"(sad"'), r"rule 2: pattern = '\(sad' is no regular expression"),
        (('words = ["glad", "happy"]', 'words = ["glad"]\nfield = "body"'), "'body' is not a field of the input"),
        (('words = ["glad", "happy"]', 'word = ["glad"]'), "unexpected keyword argument"),
        (('"rules.py"', '"../rules.py"'), "is outside the project's folder"),
        (('"rules.py"', '"other.py"'), "there is no such file in the project's folder"),
    ],
)
def test_functions_that_cannot_be_are_told_in_one_line(project: Project, change: tuple[str, str], message: str) -> None:
    (project.folder / "task.toml").write_text(TASK.replace(*change))
    changed = open_project(project.folder)
    with pytest.raises(TaskFileError, match=message) as caught:
        one = candidate(changed, "rules")
        assert one.family.student is not None
        one.family.student.depends("rules", one.settings, changed)
        functions_of("rules", one.settings, changed)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def f(input)\n", r"rules.py.* cannot be run: SyntaxError"),
        ("import re\n1 / 0\n", r"rules.py, line 2 cannot be run: ZeroDivisionError"),
        ("x = 1\n", "defines no function"),
    ],
)
def test_a_file_that_cannot_be_run_is_told_in_one_line(project: Project, source: str, message: str) -> None:
    (project.folder / "rules.py").write_text(source)
    with pytest.raises(UsageError, match=message) as caught:
        functions_of("rules", candidate(project, "rules").settings, project)
    assert "\n" not in str(caught.value)


def test_a_damaged_label_model_is_told(project: Project) -> None:
    run("train", "rules", "-C", project.folder)
    folder = newest_artefact(project, "rules")
    assert folder is not None
    (folder / "weak.npz").write_bytes(b"PK")
    with pytest.raises(StoreError, match=r"The label model in .* cannot be read"):
        predicted(project, [{"text": "happy"}])
