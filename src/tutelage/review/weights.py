"""How probably a label is right, learnt from the labels that people reviewed and told of those that they did not.

A logistic regression on what is known of a label: how probable a student that never saw it finds it, by itself and
beside the answer that it likes best; how sure its source was; how many of the nearest neighbours have it; how many other
sources agree; how long the text is. The chances of reviewed labels are those of regressions that did not learn from them
(cross-fitting in FOLDS), so that what is printed of them holds for the others, as far as these are like the reviewed ones:
reviewed at random they are; reviewed in the order of probable errors they are not, and what is said of labels that seemed
right is then less certain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from tutelage.errors import TrainingError
from tutelage.evaluation.confidence import Auroc
from tutelage.evaluation.estimates import Estimate
from tutelage.evaluation.intervals import estimate, proportion
from tutelage.project import Project
from tutelage.review.claims import claims
from tutelage.review.folds import Progress, unseen
from tutelage.review.outcome import answer_key, last_word, right_by
from tutelage.store import by_person, in_force
from tutelage.store.qualities import label_key
from tutelage.students.subset import vectors_of
from tutelage.tasks import Task
from tutelage.types import Example, Label, Labelled, Prediction, Split, Value

METHOD = "logistic regression on reviewed labels, 1"
FOLDS = 5
FEWEST = 5
"""Right labels, and wrong ones, that must have been reviewed."""
NEIGHBOURS, MOST_COMPARED = 10, 10_000
"""Nearest labelled examples whose labels are compared, and of how many, drawn with the seed."""
FLOOR = 1e-4

FEATURES = (
    "student's probability of the label",
    "beside its own answer",
    "source's confidence",
    "source has a confidence",
    "neighbours with the label",
    "other sources that agree",
    "length of the text",
)

Floats = NDArray[np.float64]


class Reviewed(NamedTuple):
    """A label that no person gave. `right` is what people said of it, None where nobody did; `others` what other sources say."""

    example: Example
    label: Label
    right: bool | None
    others: Sequence[Value]


@dataclass(frozen=True)
class WeighReport:
    """What was learnt from `reviewed` labels, of which `right` were, and told of `estimated` others, which are right by `mean` on
    average and of which `doubtful` are below one half. `auroc`: of the chances, cross-fitted; `alone`: of the student's
    probability by itself. `brier` is their mean squared error, `brier_base` that of saying the share of right ones of all.
    `features`: how much each tells, in standard deviations."""

    split: Split
    student: str
    reviewed: int
    right: Estimate
    auroc: Estimate
    alone: Estimate
    brier: float
    brier_base: float
    estimated: int
    mean: float
    doubtful: int
    features: Mapping[str, float]


def weigh(
    project: Project,
    split: Split = "train",
    by: str | None = None,
    seed: int = 0,
    progress: Progress = lambda share, shown: None,
) -> WeighReport:
    """Learn from the reviewed labels of `split`, and store how probably each of the others is right. Raises TrainingError where
    people reviewed too few, or found all of them right or all wrong; else as `unseen`."""
    labels = reviewed_labels(project, split)
    known = np.array([one.right is not None for one in labels], bool)
    right = np.array([bool(one.right) for one in labels], bool)
    count, wrong = int((right & known).sum()), int((~right & known).sum())
    if min(count, wrong) < FEWEST:
        raise TrainingError(
            f"Of the labels in {split!r} people found {count} right and {wrong} wrong. At least {FEWEST} of each are needed to "
            "learn how they differ. Review more: tutelage review"
        )
    found = unseen(project, split, by, progress=progress)
    answers = dict(zip([one.example.id for one in found.labelled], found.predictions, strict=True))
    rows = _features(project, labels, answers, found.labelled, seed)
    scale = _Scale(rows[known])
    folds = StratifiedKFold(min(FOLDS, count, wrong), shuffle=True, random_state=seed)
    x, y = scale(rows[known]), right[known]
    crossed = np.zeros(len(y))
    for learnt, held in folds.split(x, y):
        crossed[held] = _fitted(x[learnt], y[learnt]).predict_proba(x[held])[:, 1]
    model = _fitted(x, y)
    chances = model.predict_proba(scale(rows[~known]))[:, 1] if (~known).any() else np.zeros(0)
    unknown = [one for one in labels if one.right is None]
    keys = [label_key(one.example.id, one.label.source, one.label.value) for one in unknown]
    project.store.qualities.put({key: round(float(p), 6) for key, p in zip(keys, chances, strict=True)}, METHOD)
    owner = np.arange(len(y))
    return WeighReport(
        split,
        found.student,
        len(y),
        proportion(int(y.sum()), len(y)),
        estimate(Auroc(crossed, y, owner), len(y), seed=seed),
        estimate(Auroc(rows[known][:, 0], y, owner), len(y), seed=seed),
        round(float(np.mean((crossed - y) ** 2)), 4),
        round(float(np.mean((y.mean() - y) ** 2)), 4),
        len(unknown),
        round(float(chances.mean()), 4) if len(chances) else 1.0,
        int((chances < 0.5).sum()),
        dict(zip(FEATURES, (round(float(one), 3) for one in model.coef_[0]), strict=True)),
    )


def reviewed_labels(project: Project, split: Split) -> list[Reviewed]:
    """The labels of `split` that no person gave, each with what people said of it."""
    examples = list(project.store.examples.read(split))
    given = project.store.labels.of([one.id for one in examples])
    found = []
    for example in examples:
        labels = given.get(example.id, [])
        machine = in_force([one for one in labels if not by_person(one.source)])
        if machine is not None:
            others = {one.source: one.value for one in labels if not by_person(one.source) and one.status == "given"}
            others.pop(machine.source, None)
            word = last_word(labels)
            right = None if word is None else right_by(project.task, word, machine.value)
            found.append(Reviewed(example, machine, right, list(others.values())))
    return found


class _Scale:
    """Features at mean 0 and deviation 1, as in the rows it was made of."""

    def __init__(self, rows: Floats) -> None:
        self.mean, self.deviation = rows.mean(axis=0), rows.std(axis=0)
        self.deviation[self.deviation == 0] = 1.0

    def __call__(self, rows: Floats) -> Floats:
        return np.asarray((rows - self.mean) / self.deviation)


def _fitted(rows: Floats, right: NDArray[np.bool_]) -> LogisticRegression:
    return LogisticRegression(C=1.0, max_iter=1000).fit(rows, right)


def _features(
    project: Project,
    labels: Sequence[Reviewed],
    answers: Mapping[str, Prediction],
    labelled: Sequence[Labelled],
    seed: int,
) -> Floats:
    """(labels, FEATURES)."""
    task = project.task
    near = _neighbours(task, labels, labelled, seed)
    rows = []
    for one, agree in zip(labels, near, strict=True):
        chance, beside = _student(task, one.label.value, answers.get(one.example.id))
        sure = one.label.distribution.get(one.label.value) if isinstance(one.label.value, str) else None
        key = answer_key(task, one.label.value)
        same = [answer_key(task, other) == key for other in one.others]
        rows.append(
            [
                chance,
                beside,
                0.0 if sure is None else _logit(sure),
                float(sure is not None),
                agree,
                float(np.mean(same)) if same else 0.5,
                float(np.log1p(len(task.input_text(one.example.input)))),
            ]
        )
    return np.array(rows, np.float64)


def _student(task: Task, value: Value, answer: Prediction | None) -> tuple[float, float]:
    """Log odds of the label by the student that never saw it, and how far below its own answer that is."""
    if answer is None or answer.value is None:
        return 0.0, 0.0
    if task.output == "text":
        return 0.0, 0.0  # there is no one right text
    if task.output in ("strings", "record"):
        chance = min((one.right for one in claims(task, value, answer)), default=answer.confidence or 0.5)
        return _logit(chance), float(answer_key(task, value) == answer_key(task, answer.value))
    sure = answer.confidence if answer.confidence is not None else 0.5
    if isinstance(value, str):
        parts = answer.parts or {str(answer.value): sure}
        chance = parts.get(value, FLOOR)
        return _logit(chance), float(np.log(max(chance, FLOOR)) - np.log(max(*parts.values(), FLOOR)))
    each = [p if name in value else 1 - p for name, p in answer.parts.items()]
    return _logit(min(each, default=sure)), float(answer_key(task, value) == answer_key(task, answer.value))


def _neighbours(task: Task, labels: Sequence[Reviewed], labelled: Sequence[Labelled], seed: int) -> list[float]:
    """The share of the nearest labelled examples, itself apart, that have the label."""
    draw = np.random.default_rng(seed)
    some = sorted(draw.choice(len(labelled), min(len(labelled), MOST_COMPARED), replace=False).tolist())
    known = [labelled[at] for at in some]
    texts = [task.input_text(one.example.input) for one in (*known, *labels)]
    vectors = vectors_of(texts, seed)
    held, asked = vectors[: len(known)], vectors[len(known) :]
    keys = [answer_key(task, one.value) for one in known]
    place = {one.example.id: at for at, one in enumerate(known)}
    found = []
    for start in range(0, len(labels), 512):
        alike = asked[start : start + 512] @ held.T
        for row, one in zip(alike, labels[start : start + 512], strict=True):
            if one.example.id in place:
                row[place[one.example.id]] = -2.0
            nearest = np.argpartition(-row, min(NEIGHBOURS, len(row) - 1))[:NEIGHBOURS]
            key = answer_key(task, one.label.value)
            found.append(float(np.mean([keys[at] == key for at in nearest.tolist()])))
    return found


def _logit(chance: float) -> float:
    chance = min(max(chance, FLOOR), 1 - FLOOR)
    return float(np.log(chance / (1 - chance)))
