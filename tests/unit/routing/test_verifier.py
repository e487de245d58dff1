"""Verifiers: what they learn from right and wrong, what they keep, where they refuse."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from tests.panels import ask, recorded_project

from tutelage.errors import CertificateError, DataError, StoreError, TrainingError
from tutelage.evaluation.candidates import candidate
from tutelage.evaluation.harness import answers, example_set
from tutelage.labels.splitting import example_id
from tutelage.project import LEARNED_FROM, Project, read_card
from tutelage.routing.answered import Goal, check_unseen
from tutelage.routing.certify import certify, prepared
from tutelage.routing.verifier.columns import Asked, agreement, fit_columns, raw_columns
from tutelage.routing.verifier.family import Verified
from tutelage.routing.verifier.fitting import fit_verifier, verifier_text
from tutelage.routing.verifier.model import ARRAYS, load_verifier
from tutelage.tasks import Task
from tutelage.tasks.label import LabelTask
from tutelage.tasks.record import RecordTask
from tutelage.tasks.strings import StringsTask
from tutelage.types import Example, Label, Prediction, Split, Value

LABEL = LabelTask("kinds", ("text",), "", "accuracy", labels=("yes", "no", "maybe"))
STRINGS = StringsTask("names", ("text",), "", "f1")
RECORD = RecordTask(
    "bill",
    ("text",),
    "",
    "field_f1",
    answer_schema={"type": "object", "properties": {"who": {"type": "string"}, "sum": {"type": "string"}}},
)
SURE = '[candidates.sure]\nfamily = "verified"\nof = "student"\n{more}\n'


def student(at: int) -> tuple[str | None, float | None]:
    """Right about 7 of 10, as sure when wrong as when right, failing on every 40th."""
    if at % 40 == 39:
        return None, None
    return ("yes" if at % 10 < 7 else "no" if at % 2 else "maybe"), 0.5 + (at % 13) / 30


def other(at: int) -> tuple[str | None, float | None]:
    """Wrong on its own, about others; never with the same wrong answer."""
    return ("yes" if at % 7 else "maybe" if at % 10 >= 7 and at % 2 else "no"), 0.6


def same(at: int) -> tuple[str | None, float | None]:
    return "yes", 0.9


MODELS: dict[str, Callable[[int], tuple[str | None, float | None]]] = {"student": student, "other": other, "last": same}


def make(
    folder: Path, more: str = 'beside = "other"', extra: str = "", splits: Sequence[Split] = ("dev", "test")
) -> Project:
    return recorded_project(folder, MODELS, SURE.format(more=more) + extra, n=240, splits=splits)


def built(project: Project) -> Verified:
    found = candidate(project, "sure").build(project)
    assert isinstance(found, Verified)
    return found


@pytest.mark.parametrize("model", ["linear", "boosting"])
def test_agreement_tells_what_the_students_confidence_does_not(tmp_path: Path, model: str) -> None:
    project = make(tmp_path, f'beside = "other"\nmodel = "{model}"')
    folder = fit_verifier(project, "sure")
    assert fit_verifier(project, "sure") == folder
    facts = read_card(folder)["fit"]
    assert facts["auroc"]["verifier"]["low"] > facts["auroc"]["own"]["high"]
    assert facts["gain"]["low"] > 0
    assert "better than it" in verifier_text(folder)
    ask(project, "sure", "test")
    examples = example_set(project, "test")
    found = answers(project, candidate(project, "sure"), examples)
    assert found is not None
    right = [one.confidence or 0.0 for at, one in enumerate(found[0]) if student(at)[0] == "yes"]
    wrong = [one.confidence or 0.0 for at, one in enumerate(found[0]) if student(at)[0] in ("no", "maybe")]
    assert np.mean(right) > 0.85
    assert np.mean(wrong) < 0.4
    assert all(0 <= one <= 1 for one in right + wrong)


def test_the_answer_is_the_students_and_both_are_paid(tmp_path: Path) -> None:
    project = make(tmp_path)
    fit_verifier(project, "sure")
    given = [example.example.input for example in example_set(project, "test").examples]
    found = asyncio.run(built(project).predict(given))
    first = found[0]
    assert first.value == "yes"
    assert first.signals["own"] == 0.5
    assert first.usage.dollars == pytest.approx(0.0011)
    assert first.usage.seconds == pytest.approx(0.2)
    failed = found[39]
    assert (failed.value, failed.confidence, failed.error) == (None, None, "it failed")
    assert failed.usage.dollars == pytest.approx(0.0011)
    assert asyncio.run(built(project).predict([])) == []
    assert asyncio.run(built(project).predict(given[39:40]))[0].confidence is None


def test_of_dev_it_says_what_it_said_before_it_learned(tmp_path: Path) -> None:
    project = make(tmp_path)
    folder = fit_verifier(project, "sure")
    examples = example_set(project, "dev")
    assert set((folder / LEARNED_FROM).read_text().split()) == set(examples.ids)
    given = [one.example.input for one in examples.examples]
    verifier = built(project).verifier
    found = asyncio.run(built(project).predict(given))
    kept = [at for at, one in enumerate(found) if one.value is not None]
    students, others = (answers(project, candidate(project, name), examples) for name in ("student", "other"))
    assert students is not None
    assert others is not None
    asked = Asked([given[at] for at in kept], [students[0][at] for at in kept], [others[0][at] for at in kept])
    hindsight = verifier.model.chances(verifier.columns(asked))[:, 0]
    said = np.array([found[at].confidence for at in kept])
    assert sorted(said) == pytest.approx(sorted(verifier.known.values()))
    assert not np.allclose(said, hindsight)
    # Another answer to the same input is none that it learned from.
    changed = Asked(asked.inputs[:1], [Prediction("maybe", 0.5)], asked.beside and asked.beside[:1])
    assert verifier.chances(changed)[0] not in verifier.known.values()


def test_a_cascade_certifies_it_as_any_stage(tmp_path: Path) -> None:
    extra = '[candidates.cascade]\nfamily = "cascade"\nstages = ["sure", "last"]\n'
    project = make(tmp_path, extra=extra, splits=("dev", "calibration"))
    folder = fit_verifier(project, "sure")
    for split in ("dev", "calibration"):
        for name in ("sure", "last"):
            ask(project, name, split)
    outcome = certify(prepared(project, "cascade", Goal({"wrong": 0.05})))
    assert outcome.certificate is not None
    assert outcome.certificate.answered_by["sure"] > 0.5
    assert outcome.certificate.stages[0].artefact == folder.name
    one = next(iter(project.store.examples.read("calibration")))
    with (folder / LEARNED_FROM).open("a") as file:
        file.write(one.id + "\n")
    with pytest.raises(CertificateError, match="'sure' learned from 1 of the 240 calibration examples"):
        check_unseen(project, ["sure", "last"])


def test_what_it_cannot_learn_from_is_said_in_one_line(tmp_path: Path) -> None:
    extra = '[candidates.easy]\nfamily = "verified"\nof = "last"\n'
    project = make(tmp_path, extra=extra, splits=("dev",))
    with pytest.raises(TrainingError, match="240 are right and 0 wrong; a verifier learns from at least 10 of each"):
        fit_verifier(project, "easy")
    with pytest.raises(TrainingError, match="Run: tutelage calibrate sure"):
        built(project)
    folder = fit_verifier(project, "sure")
    project.file.candidates["sure"]["beside"] = "last"
    with pytest.raises(TrainingError, match="learned to verify 'student'"):
        built(project)
    project.file.candidates["sure"]["beside"] = "other"
    (folder / ARRAYS).write_bytes(b"no arrays")
    with pytest.raises(StoreError, match="Calibrate it again"):
        built(project)


def test_answers_that_are_missing_are_named(tmp_path: Path) -> None:
    project = make(tmp_path, splits=("dev",))
    given = {"text": "one more question"}
    project.store.examples.add([Example(example_id(given), given, "dev")])
    project.store.labels.add([Label(example_id(given), "yes", "human:ada")])
    with pytest.raises(DataError, match="'student' has not answered all 241 examples of dev"):
        fit_verifier(project, "sure")


def test_a_verifier_without_another_candidate_is_kept_whole(tmp_path: Path) -> None:
    project = make(tmp_path, "", splits=("dev",))
    folder = fit_verifier(project, "sure")
    settings = candidate(project, "sure").settings
    one, two = (load_verifier(folder, settings, project) for _ in range(2))
    asked = Asked([{"text": "new"}], [Prediction("yes", 0.7)])
    assert one.chances(asked) == two.chances(asked)
    assert verifier_text(folder).startswith("verifier of 234 answers on dev (0.718 right)")
    assert one.chances(Asked([], [])).shape == (0,)


@pytest.mark.parametrize(
    ("task", "values", "share"),
    [
        (LABEL, ("yes", "yes"), 1),
        (LABEL, ("yes", "no"), 0),
        (STRINGS, (["Ann", "tom"], ["Tom"]), 1 / 2),
        (STRINGS, ([], []), 1),
        (RECORD, ({"who": "Ann", "sum": "1"}, {"who": "ann", "sum": "2"}), 1 / 2),
    ],
)
def test_what_two_answers_have_in_common(task: Task, values: tuple[Value, Value], share: float) -> None:
    assert agreement(task, *values) == share


@pytest.mark.parametrize(
    ("task", "given"),
    [
        (
            RECORD,
            [
                Prediction({"who": "Ann", "sum": None}, 0.9, parts={"who": 0.9, "sum": 0.5}),
                Prediction({"who": "x", "sum": "1"}),
            ],
        ),
        (STRINGS, [Prediction(["Ann"], parts={"Ann": 0.7}, signals={"agreement": 0.7}), Prediction([])]),
        (LABEL, [Prediction("yes", 0.6, parts={"yes": 0.6, "no": 0.4}), Prediction("no", 0.0)]),
    ],
)
def test_every_output_has_columns_and_none_is_lost_for_want_of_a_confidence(
    task: Task, given: Sequence[Prediction]
) -> None:
    asked = Asked([{"text": "one"}, {"text": "two"}], given, [Prediction(None, error="down"), given[1]])
    columns = fit_columns(task, asked, None, None)
    found = raw_columns(columns, asked)
    assert found.shape[0] == 2
    assert np.isfinite(found).all()
    assert np.isfinite(columns(asked).dense).all()
    assert np.abs(columns(asked).dense).max() <= 1.0001
