"""What synthetic examples bring: the same student trained with and without them, and what writing and labelling them cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tutelage.errors import DataError
from tutelage.evaluation.candidates import Candidate, candidate
from tutelage.evaluation.costs import cost_of
from tutelage.evaluation.curve.points import Point, plan, point
from tutelage.evaluation.curve.scores import Apart, Scores, scores
from tutelage.evaluation.estimates import Estimate
from tutelage.evaluation.harness import ExampleSet
from tutelage.evaluation.intervals import estimate
from tutelage.evaluation.metrics import Mean
from tutelage.evaluation.scoring import statistic
from tutelage.labels.synthesis.running import VERB, agreement
from tutelage.project import Project
from tutelage.types import Labelled, Split, Usage

REPEATS = 3

Progress = Callable[[float, Mapping[str, object]], None]


@dataclass(frozen=True, slots=True)
class Paid:
    """Dollars in all (None: not known), and how they come about."""

    dollars: float | None
    basis: str


@dataclass(frozen=True)
class Gain:
    """The main metric on n examples of `split`, without and with `synthetic` labelled examples beside `real` ones.

    Intervals are paired over the examples and hold the noise of training (`repeats` seeds). `dollars` is what `writing` and
    `labelling` cost together, None where one is not known. `dollars_as_labels` is how many real inputs the teacher would
    label for it; `agreed` is the share of synthetic examples on which the teacher's label is the one the writer was asked for.
    """

    candidate: str
    metric: str
    split: Split
    n: int
    reference: str
    repeats: int
    real: int
    synthetic: int
    without: Estimate
    with_synthetic: Estimate
    gain: Estimate
    writing: Paid
    labelling: Paid
    dollars: float | None
    per_dollar: Estimate | None
    dollars_as_labels: int | None
    agreed: Estimate | None
    asked_for: int


def gain(
    project: Project,
    one: Candidate,
    examples: ExampleSet,
    repeats: int = REPEATS,
    progress: Progress = lambda share, shown: None,
) -> Gain:
    """Train `one` on train with and without what models wrote, `repeats` times each, and score both on `examples`.

    Neither is given dev to choose on, so that dev is new to both; trainings are kept, as those of learning curves are. Raises
    DataError where no synthetic example has a label that the student learns from.
    """
    everything = plan(project, one, (), repeats).train
    real = [e for e in everything if not e.example.synthetic]
    written = len(everything) - len(real)
    if not written:
        raise DataError(f"{one.name!r} learns from no synthetic example. {_remedy(project, one)}")
    if not real:
        raise DataError(f"{one.name!r} has no real labelled example to learn from without the synthetic ones.")
    before = _points(project, one, real, examples, (0, repeats), progress)
    after = _points(project, one, everything, examples, (1, repeats), progress)
    without, beside, apart = _scored(project, examples, before, after)
    low, high = (float(end) for end in np.quantile(apart.draws[0], [0.025, 0.975]))
    found = Estimate(float(apart.means[0]), low, high)
    writing, labelling, labels = writing_cost(project), labelling_cost(project), _per_label(project)
    dollars = None
    if writing.dollars is not None and labelling.dollars is not None:
        dollars = writing.dollars + labelling.dollars
    agreed = [float(same) for same in agreement(project)]
    return Gain(
        one.name,
        project.task.metric,
        examples.split,
        len(examples.examples),
        examples.reference,
        repeats,
        len(real),
        written,
        without,
        beside,
        found,
        writing,
        labelling,
        dollars,
        Estimate(found.value / dollars, low / dollars, high / dollars) if dollars else None,
        int(dollars / labels) if dollars is not None and labels else None,
        estimate(Mean(np.array(agreed)), len(agreed)) if agreed else None,
        len(agreed),
    )


def _remedy(project: Project, one: Candidate) -> str:
    if one.material.synthetic == "leave":
        return 'Its table in task.toml says synthetic = "leave".'
    kept = sum(project.store.examples.written().values())
    if not kept:
        return "There is none. Run: tutelage synthesize, then tutelage label"
    if one.settings.labels == "gold":
        return f'It learns from gold alone, and {kept} synthetic examples can have the teacher\'s labels. Set labels = "any".'
    return f"None of the {kept} has a label. Run: tutelage label"


def writing_cost(project: Project) -> Paid:
    """What all that was written in this project cost, as the store's books say;
    of a model without a price the time of the hardware."""
    runs = [run for run in project.store.runs.read() if run.verb == VERB]
    total, bases = 0.0, []
    for key, run in {run.facts["key"]: run for run in runs}.items():
        usages = project.store.predictions.usages(key)
        spent = project.store.spend.spent(run.facts["account"])
        if not usages and not spent:
            continue
        if (usages and all(usage.dollars is not None for usage in usages)) or spent:
            total += spent
            bases.append(f"${spent:.4f} paid for {len(usages)} calls of {run.candidate}")
            continue
        cost = _summed(project, run.candidate, usages)
        if cost.dollars is None:
            return cost
        total += cost.dollars
        bases.append(f"{len(usages)} calls of {run.candidate}, {cost.basis}")
    return Paid(total, "; ".join(bases) or "nothing was asked")


def labelling_cost(project: Project) -> Paid:
    """What the teacher's labels of synthetic examples cost in all, by its stored answers."""
    teacher = project.file.teacher
    labelled = {one.example.id for one in project.store.labels.read("train", "teacher") if one.example.synthetic}
    if not labelled:
        return Paid(0.0, "no synthetic example has a teacher's label")
    if not teacher:
        return Paid(None, "not known: task.toml names no teacher")
    stored = project.store.predictions.read(candidate(project, teacher).fingerprint(project), sorted(labelled))
    if len(stored) < len(labelled):
        return Paid(
            None, f"not known: {len(labelled) - len(stored)} of {len(labelled)} labels are not answers of {teacher}"
        )
    cost = _summed(project, teacher, [one.usage for one in stored.values()])
    return Paid(cost.dollars, f"{len(stored)} labels by {teacher}, {cost.basis}")


def _summed(project: Project, name: str, usages: Sequence[Usage]) -> Paid:
    """What these answers of candidate `name` cost in all."""
    one = candidate(project, name)
    seconds = sum(usage.seconds for usage in usages) / max(len(usages), 1)
    hosted, price = one.hosted(project), one.price(project)
    found = cost_of(one.family.role, usages, seconds, project.file.hardware, hosted=hosted, price=price)
    each = found.dollars_per_1000
    return Paid(None if each is None else each * len(usages) / 1000, found.basis)


def _per_label(project: Project) -> float | None:
    """Dollars of one label of the teacher, by its answers to synthetic examples."""
    labelled = [one for one in project.store.labels.read("train", "teacher") if one.example.synthetic]
    dollars = labelling_cost(project).dollars
    return dollars / len(labelled) if dollars and labelled else None


def _points(
    project: Project,
    one: Candidate,
    train: Sequence[Labelled],
    examples: ExampleSet,
    place: tuple[int, int],
    progress: Progress,
) -> list[Point]:
    half, repeats = place
    found = []
    for repeat in range(repeats):

        def tell(share: float, shown: Mapping[str, object], repeat: int = repeat) -> None:
            progress((half * repeats + repeat + share) / (2 * repeats), shown)

        found.append(point(project, one, train, repeat, examples, tell))
        tell(1.0, {})
    return found


def _scored(
    project: Project, examples: ExampleSet, before: Sequence[Point], after: Sequence[Point]
) -> tuple[Estimate, Estimate, Scores]:
    """The main metric without, with, and the difference, each with the noise of training."""
    n, right = len(examples.examples), [e.value for e in examples.examples]

    def all_of(points: Sequence[Point]) -> list[Any]:
        metric = project.task.metric
        return [statistic(project, examples.split, metric, right, [p.value for p in one.predictions]) for one in points]

    without, beside = all_of(before), all_of(after)
    apart = [Apart(ours, theirs) for ours, theirs in zip(beside, without, strict=True)]
    # No size is everything: every repeat counts for the noise.
    return scores({1: without}, n, 0).estimates()[0], scores({1: beside}, n, 0).estimates()[0], scores({1: apart}, n, 0)
