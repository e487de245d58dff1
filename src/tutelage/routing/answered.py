"""What the stages of a cascade (a router's candidates) answered to a split, how much each answer loses, and how sure each was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tutelage.errors import CertificateError, DataError
from tutelage.evaluation.candidates import Candidate, candidate
from tutelage.evaluation.harness import ExampleSet, answers, every_example, example_set
from tutelage.evaluation.metrics import Floats
from tutelage.evaluation.parts import priced
from tutelage.project import LEARNED_FROM, Project, newest_artefact
from tutelage.routing.cascade import Gate
from tutelage.routing.certificate import certified_settings
from tutelage.routing.confidence import Fitted, fit_confidence
from tutelage.routing.losses import Loss, excess, losses_of
from tutelage.routing.parts import everyone
from tutelage.store import Origin
from tutelage.types import Example, Prediction, Split, Value

FIRST = 0.8
"""What each look takes of the level that is left (`routing.looks`)."""


@dataclass(frozen=True)
class Goal:
    """What is to be proved: each loss in `most` has a mean of at most that, jointly, with `confidence`.

    `against` whose labels are right (None: gold where calibration has any, else the teacher's); `by_group` the same of each
    group of examples by itself; `tried` all candidates of which the best will be taken: each is tested at its share of the
    level, so that the choice is covered; `look` the how-manieth look this is (0: the only one there will ever be).
    """

    most: Mapping[Loss, float]
    confidence: float = 0.95
    against: Origin | None = None
    by_group: bool = False
    tried: Sequence[str] = ()
    look: int = 0

    @property
    def level(self) -> float:
        spent = FIRST * (1 - FIRST) ** (self.look - 1) if self.look else 1.0
        return round((1 - self.confidence) * spent / max(1, len(self.tried)), 12)


@dataclass(frozen=True)
class Answers:
    """Everybody's answers to the examples of a split: predictions by stage, the values that count as right, and by loss the
    loss of each stage's answers, shape (n,)."""

    examples: ExampleSet
    gold: list[Value]
    stages: list[list[Prediction]]
    losses: Mapping[Loss, list[Floats]]
    right: list[NDArray[np.bool_]]

    @property
    def n(self) -> int:
        return len(self.gold)


def answered_by(project: Project, stages: Sequence[Candidate], split: Split, goal: Goal) -> Answers:
    """The stored answers of the stages to a split; where the teacher is the reference its answers are the values.

    Raises DataError when one of them has not answered, or there is nothing to compare with.
    """
    examples = reference_set(project, split, goal.against)
    found: list[list[Prediction]] = []
    for stage in stages:
        known = answers(project, stage, examples)
        if known is None:
            raise DataError(
                f"{stage.name!r} has not answered all {len(examples.examples)} examples of {split}. "
                f"Run: tutelage evaluate {stage.name} --split {split}"
            )
        found.append(priced(project, stage, known[0]))
    if goal.against == "teacher":
        taught = [one.value for one in found[-1]]
        # What the teacher failed on has no right answer: whoever answers there is wrong.
        gold = [one.value if value is None else value for one, value in zip(examples.examples, taught, strict=True)]
        failed = np.array([value is None for value in taught])
    else:
        gold, failed = [one.value for one in examples.examples], np.zeros(len(examples.examples), dtype=np.bool_)
    losses: dict[Loss, list[Floats]] = {}
    for loss in dict.fromkeys(("wrong", *goal.most)):
        basis: Loss = "metric" if loss == "excess" else loss
        each = [_lost(project, basis, split, gold, one, failed) for one in found]
        losses[loss] = [excess(one, each[-1]) for one in each] if loss == "excess" else each
    return Answers(examples, gold, found, losses, [one == 0 for one in losses["wrong"]])


def _lost(
    project: Project, loss: Loss, split: Split, gold: Sequence[Value], predictions: Sequence[Prediction], failed: Any
) -> Floats:
    # Where the teacher gave nothing the value is of no kind that a metric knows: those rows are scored apart.
    kept = [at for at in range(len(gold)) if not failed[at]]
    found = np.ones(len(gold))
    if kept:
        found[kept] = losses_of(project, loss, split, [gold[at] for at in kept], [predictions[at].value for at in kept])
    return found


def reference_set(project: Project, split: Split, against: Origin | None) -> ExampleSet:
    """The examples that are scored: those with gold, or against the teacher all of them (its answers are the reference)."""
    if against == "teacher":
        examples = every_example(project, split)
        return ExampleSet(split, examples.examples, f"the last stage's answers ({len(examples.examples)})")
    return example_set(project, split, "gold")


def settled_goal(project: Project, goal: Goal) -> Goal:
    """`goal` with whose labels are right: gold where calibration has any."""
    if goal.against:
        return goal
    labelled = next(iter(project.store.labels.read("calibration", "gold")), None)
    return replace(goal, against="gold" if labelled else "teacher")


def check_unseen(project: Project, stages: Sequence[str]) -> None:
    """Raises CertificateError where a stage, or who it is made of, learned from a calibration example or was chosen on one."""
    for name in everyone(project, stages):
        if certified_settings(candidate(project, name)) is not None:
            raise CertificateError(
                f"{name!r} answers from a threshold that was chosen on calibration examples: nothing that asks it can be proved "
                "on them. Name the candidates that it is made of instead."
            )
    check_unlearned(project, stages)


def check_unlearned(project: Project, names: Sequence[str]) -> None:
    """Raises CertificateError where one of `names`, or who it is made of, learned from a calibration example."""
    ids = {one.id for one in project.store.examples.read("calibration")}
    for name in everyone(project, names):
        folder = newest_artefact(project, name)
        verb = "calibrate" if candidate(project, name).family.role == "system" else "train"
        if folder is None:
            continue
        known = folder / LEARNED_FROM
        if not known.is_file():
            raise CertificateError(
                f"{name!r} does not say which examples it learned from ({known.name} is missing). "
                f"Make it again: tutelage {verb} {name}"
            )
        if seen := ids & set(known.read_text(encoding="utf-8").split()):
            raise CertificateError(
                f"{name!r} learned from {len(seen)} of the {len(ids)} calibration examples, for instance {min(seen)}: "
                f"nothing can be proved on them. Make it again: tutelage {verb} {name}"
            )


def calibrated(project: Project, stages: Sequence[Candidate], dev: Answers, *, abstain: bool) -> dict[str, Fitted]:
    """The confidence of each stage but the last (of the last too where it may abstain), fitted on dev."""
    found: dict[str, Fitted] = {}
    for number, stage in enumerate(stages):
        last = number == len(stages) - 1
        if last and not abstain:
            continue
        if not dev.right[number].any():
            raise CertificateError(
                f"{stage.name!r} is wrong in all {dev.n} answers to dev: there is nothing that it could be trusted with. "
                "Train it on more labels, or look at those of dev."
            )
        fitted = fit_confidence(project.task, dev.stages[number], dev.gold, dev.right[number])
        if fitted is None:
            raise CertificateError(
                f"{stage.name!r} gives no confidence with its answers, so that no threshold can be set. "
                "Take a student that does, or ask a prompted one for logprobs (docs/sampling.md)."
            )
        found[stage.name] = fitted
    return found


def sureness(
    project: Project, found: Answers, fitted: Sequence[Fitted | None], gate: tuple[Gate, Mapping[str, Any]] | None
) -> list[Floats | None]:
    """Each stage's calibrated confidence on each example, below every threshold where the gate finds an input novel or the
    answer failed."""
    novel = np.zeros(found.n, dtype=np.bool_)
    if gate is not None:
        texts = [project.task.input_text(one.example.input) for one in found.examples.examples]
        novel = np.asarray(gate[0].p_values(texts)) <= float(gate[1]["rate"])
    sure: list[Floats | None] = []
    for one, predictions in zip(fitted, found.stages, strict=True):
        failed = np.array([prediction.value is None for prediction in predictions], dtype=np.bool_)
        sure.append(None if one is None else np.where(novel | failed, -1.0, one.confidence.of(predictions)))
    return sure


def unlabelled(project: Project, most: int) -> list[Example]:
    """At most that many calibration examples without gold, in an order that knows nothing of them (their ids are hashes):
    to label the first k of them keeps the labelled ones a random sample, where labelling the doubtful ones first would not."""
    known = {one.example.id for one in project.store.labels.read("calibration", "gold")}
    rest = [one for one in project.store.examples.read("calibration") if one.id not in known]
    return sorted(rest, key=lambda one: one.id)[:most]
