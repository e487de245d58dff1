"""From the points of curves to what they say."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tutelage.errors import MissingPackage, TutelageError
from tutelage.evaluation.candidates import Candidate, candidate
from tutelage.evaluation.ceiling import teacher_answers
from tutelage.evaluation.costs import Cost, cost_of
from tutelage.evaluation.curve.fitting import Fit, fit
from tutelage.evaluation.curve.points import Plan, Point, Refused
from tutelage.evaluation.curve.promise import Promise, promise
from tutelage.evaluation.curve.scores import Apart, Scores, drawn, resamples, scores
from tutelage.evaluation.curve.toxicity import toxicity
from tutelage.evaluation.curve.worth import Worth, worth
from tutelage.evaluation.estimates import Estimate
from tutelage.evaluation.harness import ExampleSet, answers
from tutelage.evaluation.intervals import estimate
from tutelage.evaluation.metrics import Statistic
from tutelage.evaluation.scoring import statistic
from tutelage.project import Project
from tutelage.store import origin
from tutelage.types import SPLITS, Split, Value

ASKED = ("llm", "recorded")
"""Roles of what is asked by a prompt."""


@dataclass(frozen=True)
class Size:
    """What was measured at one size; `teacher` is agreement with the teacher, `toxic` the share of toxic answers."""

    size: int
    repeats: int
    score: Estimate
    seconds: float
    failed: float
    teacher: Estimate | None = None
    toxic: Estimate | None = None


@dataclass(frozen=True)
class Curve:
    """One candidate's curve. `labels` counts the labels of all examples by origin; `gain` is what twice the examples would
    add, None where `fit` refuses to say."""

    candidate: str
    family: str
    labels: Mapping[str, int]
    sizes: Sequence[Size]
    fit: Fit | None
    gain: Estimate | None
    worth: Sequence[Worth]
    promise: Promise | None
    refused: Sequence[Refused]
    notes: Sequence[str] = ()

    @property
    def total(self) -> int:
        return sum(self.labels.values())

    @property
    def imitates(self) -> bool:
        """Whether most of its labels are the teacher's."""
        return self.labels.get("teacher", 0) * 2 > self.total

    def json(self) -> dict[str, Any]:
        law = self.fit and {
            **self.fit.law._asdict(),
            "from": self.fit.first,
            "distance": self.fit.distance,
            "foretold": self.fit.foretold,
            "refusal": self.fit.refusal,
        }
        return {
            "candidate": self.candidate,
            "family": self.family,
            "labels": dict(self.labels),
            "sizes": [asdict(one) for one in self.sizes],
            "fit": law,
            "twice": self.gain and {"examples": 2 * self.fit.largest if self.fit else None, **asdict(self.gain)},
            "worth": [one.json() for one in self.worth],
            "promise": self.promise and self.promise.json(),
            "refused": [one._asdict() for one in self.refused],
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class Curves:
    """All curves on the same n examples of `split`. `price` is what the teacher's labels cost by 1,000; `prompts` are the
    scores of the prompted models on the same examples; `skipped` says who has no curve and why."""

    task: str
    metric: str
    split: Split
    n: int
    fingerprint: str
    reference: str
    teacher: str | None
    price: Cost
    prompts: Mapping[str, Estimate]
    curves: Sequence[Curve]
    skipped: Mapping[str, str]

    def json(self) -> dict[str, Any]:
        names = ("task", "metric", "split", "n", "fingerprint", "reference", "teacher", "prompts", "skipped")
        found = {name: getattr(self, name) for name in names}
        return found | {
            "dollars_per_1000_labels": self.price.dollars_per_1000,
            "price_basis": self.price.basis,
            "curves": [one.json() for one in self.curves],
        }


@dataclass(frozen=True)
class Against:
    """What the points are scored against: gold (or whoever the reference is), and the teacher where that is another."""

    project: Project
    examples: ExampleSet
    teacher: Sequence[Value | None] | None
    prompts: Mapping[str, Statistic]

    def statistic(self, values: Sequence[Value | None]) -> Statistic:
        return self._scored([e.value for e in self.examples.examples], values)

    def agreement(self, values: Sequence[Value | None]) -> tuple[Statistic, Statistic] | None:
        """The score against gold and against the teacher, on the examples that the teacher answered; None where it has none."""
        if self.teacher is None:
            return None
        both = [
            (e.value, theirs, mine)
            for e, theirs, mine in zip(self.examples.examples, self.teacher, values, strict=True)
            if theirs is not None
        ]
        mine = [one for _, _, one in both]
        return self._scored([one for one, _, _ in both], mine), self._scored([one for _, one, _ in both], mine)

    @property
    def shared(self) -> int:
        """The number of examples that the teacher answered."""
        return sum(one is not None for one in self.teacher or ())

    def _scored(self, right: Sequence[Value], values: Sequence[Value | None]) -> Statistic:
        task = self.project.task
        return statistic(self.project, self.examples.split, task.metric, list(right), list(values))


def against(project: Project, examples: ExampleSet) -> Against:
    """What to score against, and the prompted candidates that have answered all of `examples`."""
    teacher = teacher_answers(project, examples) if examples.reference.startswith("gold") else None
    found, gold = {}, [e.value for e in examples.examples]
    for name in project.file.candidates:
        try:
            one = candidate(project, name)
            stored = answers(project, one, examples) if one.family.role in ASKED else None
        except TutelageError:
            continue  # it has no answers here, and its fault is told where it is run
        if stored:
            values = [p.value for p in stored[0]]
            found[name] = statistic(project, examples.split, project.task.metric, gold, values)
    return Against(project, examples, teacher.values if teacher else None, found)


def curve(plan: Plan, points: Sequence[Point], refused: Sequence[Refused], beside: Against) -> Curve:
    """What `points` say."""
    n, total, task = len(beside.examples.examples), len(plan.train), beside.project.task
    by_size: dict[int, list[Point]] = defaultdict(list)
    for point in points:
        by_size[point.size].append(point)
    values = {size: [[p.value for p in one.predictions] for one in found] for size, found in by_size.items()}
    measured = scores({size: [beside.statistic(one) for one in found] for size, found in values.items()}, n, total)
    law, measured = fit(measured)
    theirs, checked = _beside_teacher(values, beside, total, measured.noise)
    toxic, notes = _toxic(values, beside, total) if task.output == "text" else (None, ())
    estimates = measured.estimates()
    agreement = theirs.estimates() if theirs else None
    sizes = [
        Size(
            size,
            len(by_size[size]),
            estimates[at],
            float(np.mean([one.seconds for one in by_size[size]])),
            float(np.mean([sum(p.value is None for p in one.predictions) for one in by_size[size]])),
            agreement[at] if agreement else None,
            toxic[at] if toxic else None,
        )
        for at, size in enumerate(sorted(by_size))
    ]
    labels = Counter[str](origin(one.source) for one in plan.train)
    gain = law.gain() if law else None
    worths = [worth(name, estimate(one, n), drawn(one, resamples(n)), measured) for name, one in beside.prompts.items()]
    named = (plan.candidate.name, plan.candidate.family_name)
    return Curve(*named, dict(labels), sizes, law, gain, worths, checked, refused, notes)


def _beside_teacher(
    values: Mapping[int, Sequence[Sequence[Value | None]]], beside: Against, total: int, noise: float
) -> tuple[Scores | None, Promise | None]:
    """Agreement with the teacher by size, and the false-promise check on the examples that have both."""
    if beside.teacher is None or not beside.shared:
        return None, None
    both = {size: [found for one in each if (found := beside.agreement(one))] for size, each in values.items()}
    gold, theirs, apart = (
        scores({size: [of(*one) for one in each] for size, each in both.items()}, beside.shared, total)
        for of in (lambda told, _: told, lambda _, same: same, lambda told, same: Apart(same, told))
    )
    if not gold.noise and noise:  # nothing was repeated: the noise that the curve's own fit showed
        gold, theirs, apart = (one.noisier(noise) for one in (gold, theirs, apart))
    return theirs, promise(gold, theirs, apart, beside.shared)


def _toxic(
    values: Mapping[int, Sequence[Sequence[Value | None]]], beside: Against, total: int
) -> tuple[list[Estimate] | None, Sequence[str]]:
    """The share of toxic answers by size, and that of gold and the teacher in words."""
    gold, n = [e.value for e in beside.examples.examples], len(beside.examples.examples)
    try:
        found = {size: [toxicity(one) for one in each] for size, each in values.items()}
        others = {"the reference": gold} | ({"the teacher": list(beside.teacher)} if beside.teacher else {})
        said = [f"{toxicity(one).scores.mean():.3f} of {name}" for name, one in others.items()]
    except MissingPackage as error:
        return None, (f"Toxicity was not measured: {error}",)
    return scores(found, n, total).estimates(), (f"Toxic are also {' and '.join(said)}",)


def label_price(project: Project) -> Cost:
    """What the teacher's labels cost by 1,000, as its stored answers say."""
    name = project.file.teacher
    if not name:
        return Cost(None, "not known: task.toml names no teacher")
    one: Candidate = candidate(project, name)
    ids = [example.id for split in SPLITS for example in project.store.examples.read(split)]
    usages = [p.usage for p in project.store.predictions.read(one.fingerprint(project), ids).values()]
    if not usages:
        return Cost(None, f"not known: no answer of {name} is stored")
    seconds = sum(usage.seconds for usage in usages) / len(usages)
    hosted, price = one.hosted(project), one.price(project)
    found = cost_of(one.family.role, usages, seconds, project.file.hardware, hosted=hosted, price=price)
    return Cost(found.dollars_per_1000, f"{found.basis}, mean of {len(usages):,} answers of {name}")
