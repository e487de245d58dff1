"""Probable label errors: labels that a student which never saw them would not have given.

A label is scored by confident learning (Northcutt, Jiang and Chuang 2021, by the library cleanlab) on a student's answers to
examples it was not trained on (`review.folds`):

label     the student's probability of the label that was given (self-confidence). Flagged are those that confident learning
          counts as errors: about as many as it estimates that there are
labels    the same of each label, given or left out, by itself; an example's score is an average that its worst label dominates
          (Thyagarajan et al. 2022)
strings   each string that the label or the student names is a claim. The probability that a claim is right is the student's
record    confidence in it; of a claim that the student does not make, 1 - its confidence in the value that it gives instead (of
          strings: in its answer as a whole). An example's score is that of its worst claim, as cleanlab scores the tokens of a
          sentence (Wang and Mueller 2022). A record's claims are its fields
text      there is no one right text: no score. Look at the order `disagree` instead
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tutelage.errors import UsageError
from tutelage.evaluation.estimates import Estimate
from tutelage.evaluation.intervals import proportion
from tutelage.project import Project
from tutelage.registry import load
from tutelage.review.claims import Claim, claims
from tutelage.review.folds import FOLDS, Progress, Unseen, unseen
from tutelage.store import Queued
from tutelage.tasks import Task
from tutelage.types import Labelled, Prediction, Split, Value

ERRORS = "errors"
"""The order under which they are stored."""
DIGITS = 6
FLOOR = 1e-6
"""Of a probability; confident learning divides by sums of them."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Suspect:
    """A label that may be wrong: `score` in [0, 1] is low for those that probably are; `flagged` are those counted as errors.

    `said` is what the student says instead (None where it says the same, or nothing), `reason` is for people.
    """

    example_id: str
    source: str
    label: Value
    said: Value | None
    score: float
    flagged: bool
    reason: str


@dataclass(frozen=True)
class Errors:
    """The labels of a split, the most probably wrong first. `share` is of those flagged; the interval is over examples alone:
    how well this student tells wrong labels is not in it, and an audit by people is what measures that."""

    split: Split
    student: str
    trained_on: str
    n: int
    flagged: int
    share: Estimate
    suspects: Sequence[Suspect]


def find_errors(
    project: Project,
    split: Split,
    by: str | None = None,
    folds: int = FOLDS,
    progress: Progress = lambda share, shown: None,
) -> Errors:
    """The labels in force of `split`, scored; the order `errors` is stored.

    Raises UsageError where labels cannot be scored this way, TrainingError where there are too few.
    """
    if project.task.output == "text":
        raise UsageError(
            "Texts have no one right answer, so that no label can be called wrong by a student's. Look at those on which "
            "candidates differ: the order `disagree`."
        )
    found = unseen(project, split, by, folds, progress)
    suspects = sorted(scored(project.task, found), key=lambda one: (one.score, one.example_id))
    project.store.queues.put(ERRORS, split, [Queued(one.example_id, one.score, one.reason) for one in suspects])
    flagged = sum(one.flagged for one in suspects)
    share = proportion(flagged, len(suspects))
    return Errors(split, found.student, found.trained_on, len(suspects), flagged, share, suspects)


def suspected(project: Project, split: Split) -> list[Queued]:
    """The order `errors`."""
    return [Queued(one.example_id, one.score, one.reason) for one in find_errors(project, split).suspects]


def scored(task: Task, found: Unseen) -> list[Suspect]:
    """The labels with their scores, in the order of the examples."""
    if task.output == "label":
        scores, flags, reasons = _one_label(found)
    elif task.output == "labels":
        scores, flags, reasons = _several_labels(found)
    else:
        scores, flags, reasons = _claimed(task, found)
    pairs = zip(found.labelled, found.predictions, strict=True)
    return [
        Suspect(
            one.example.id,
            one.source,
            one.value,
            None if prediction.value == one.value else prediction.value,
            round(float(score), DIGITS),
            bool(flag),
            reason,
        )
        for (one, prediction), score, flag, reason in zip(pairs, scores, flags, reasons, strict=True)
    ]


def _one_label(found: Unseen) -> tuple[Floats, NDArray[np.bool_], list[str]]:
    given = [str(one.value) for one in found.labelled]
    names = sorted({*given, *(str(one.value) for one in found.predictions if one.value is not None)})
    column = {name: at for at, name in enumerate(names)}
    labels = np.array([column[name] for name in given])
    chances = np.array([_chances(one, column) for one in found.predictions])
    scores: Floats = chances[np.arange(len(labels)), labels]
    counts, flags = Counter(given), np.zeros(len(labels), np.bool_)
    if len(counts) > 1:  # else no label is known for another one's
        flags = load("cleanlab.filter:find_label_issues", "quality")(labels, chances, n_jobs=1)
    return scores, flags, [_label_reason(found, at, scores[at], counts) for at in range(len(given))]


def _chances(one: Prediction, column: dict[str, int]) -> Floats:
    """A probability of each label: as the student gave it, what is left of 1 in equal shares for those it did not name."""
    row = np.zeros(len(column))
    parts = one.parts or ({str(one.value): one.confidence or 0.5} if one.value is not None else {})
    for name, chance in parts.items():
        if name in column:
            row[column[name]] = chance
    unnamed = row == 0
    row[unnamed] = max(0.0, 1 - row.sum()) / max(1, unnamed.sum())
    row = np.maximum(row, FLOOR)
    return np.asarray(row / row.sum())


def _label_reason(found: Unseen, at: int, score: float, counts: Counter[str]) -> str:
    one, prediction = found.labelled[at], found.predictions[at]
    if counts[str(one.value)] == 1:
        return f"labelled {one.value}, as no other example is"
    if prediction.value is None or prediction.value == one.value:
        return f"labelled {one.value}, of which {found.student} is {score:.2f} sure"
    return f"labelled {one.value} ({score:.2f}); {found.student} says {prediction.value} ({_sure(prediction)})"


def _sure(prediction: Prediction) -> str:
    return "?" if prediction.confidence is None else f"{prediction.confidence:.2f}"


def _several_labels(found: Unseen) -> tuple[Floats, NDArray[np.bool_], list[str]]:
    names = sorted(
        {name for one in found.labelled for name in one.value} | {n for p in found.predictions for n in p.parts}
    )
    column = {name: at for at, name in enumerate(names)}
    given = [sorted({column[name] for name in one.value}) for one in found.labelled]
    chances = np.array([_chance_each(one, names) for one in found.predictions])
    rank, prune = "cleanlab.multilabel_classification.rank", "cleanlab.multilabel_classification.filter"
    scores: Floats = load(f"{rank}:get_label_quality_scores", "quality")(given, chances)
    flags: NDArray[np.bool_] = load(f"{prune}:find_label_issues", "quality")(given, chances, n_jobs=1)
    return (
        scores,
        flags,
        [_labels_reason(found, one, row, names) for one, row in zip(found.labelled, chances, strict=True)],
    )


def _chance_each(one: Prediction, names: Sequence[str]) -> Floats:
    said = one.value or ()
    sure = one.confidence if one.confidence is not None else 0.5
    usual = [one.parts.get(name, sure if name in said else 1 - sure) for name in names]
    return np.clip(np.array(usual, np.float64), FLOOR, 1 - FLOOR)


def _labels_reason(found: Unseen, one: Labelled, chances: Floats, names: Sequence[str]) -> str:
    """The label that is most in doubt."""
    right = [chance if name in one.value else 1 - chance for name, chance in zip(names, chances, strict=True)]
    worst = int(np.argmin(right))
    what = "given" if names[worst] in one.value else "left out"
    return f"{names[worst]} is {what}, with which {found.student} agrees by {right[worst]:.2f}"


def _claimed(task: Task, found: Unseen) -> tuple[Floats, NDArray[np.bool_], list[str]]:
    pairs = zip(found.labelled, found.predictions, strict=True)
    every: list[list[Claim]] = [claims(task, one.value, prediction) for one, prediction in pairs]
    scores, flags = np.ones(len(every)), np.zeros(len(every), np.bool_)
    told = [at for at, some in enumerate(every) if some]
    if told:
        given = [[int(claim.given) for claim in every[at]] for at in told]
        chances: list[Any] = [
            np.array([[1 - claim.chance, claim.chance] for claim in every[at]], np.float64) for at in told
        ]
        rank, prune = "cleanlab.token_classification.rank", "cleanlab.token_classification.filter"
        scores[told] = load(f"{rank}:get_label_quality_scores", "quality")(given, chances)[0]
        if {mark for marks in given for mark in marks} == {0, 1}:  # else nothing differs anywhere
            issues = load(f"{prune}:find_label_issues", "quality")(given, chances, n_jobs=1)
            flags[[told[place] for place, _ in issues]] = True
    return scores, flags, [_claim_reason(found.student, some) for some in every]


def _claim_reason(student: str, some: Sequence[Claim]) -> str:
    """The claim in which the label is most in doubt."""
    if not some:
        return f"{student} says nothing"
    worst = min(some, key=lambda claim: claim.right)
    return f"{worst.words} ({student}, {1 - worst.right:.2f})"
