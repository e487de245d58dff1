"""A prompt regression test: the same examples under two versions or candidates, what changed, and whether it is chance."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np

from tutelage.errors import DataError, TutelageError, UsageError
from tutelage.evaluation.asking import Progress
from tutelage.evaluation.estimates import Estimate
from tutelage.evaluation.exact import exact_match
from tutelage.evaluation.fields import field_matches
from tutelage.evaluation.harness import ExampleSet, evaluate
from tutelage.evaluation.intervals import difference, estimate
from tutelage.evaluation.metrics import Answers, Floats, Mean, Statistic
from tutelage.evaluation.scoring import statistic
from tutelage.evaluation.versions import Side
from tutelage.project import Project
from tutelage.types import Labelled, Prediction, Split, Value, canonical_json

Verdict: TypeAlias = Literal["better", "worse", "equal", "cannot tell"]

NORMAL_95, NORMAL_80 = 1.96, 0.84
"""Quantiles of the normal distribution: of a 95 % interval, and of finding a difference 8 times in 10."""

Tell: TypeAlias = Callable[[str, Progress], None]


@dataclass(frozen=True)
class Change:
    """An example that the two answer differently, with the score of each answer in [0, 1]."""

    id: str
    input: str
    gold: Value
    a: Prediction
    b: Prediction
    a_score: float
    b_score: float


@dataclass(frozen=True)
class FieldChange:
    """A field of a record: in how many examples it became right or wrong, and its exact matches, B minus A."""

    improved: int
    worsened: int
    difference: Estimate


@dataclass(frozen=True, kw_only=True)
class Regression:
    """B against A on the same `n` examples. `difference` is B minus A on the main metric, its interval paired.

    `same` examples score alike; those among them that are answered differently are in `changes` too, behind the worsened
    and the improved ones. `needed` is about how many examples would show a difference of this size 8 times in 10, None
    where there is none to show, or too few to say.
    """

    a: str
    b: str
    metric: str
    split: Split
    n: int
    reference: str
    a_score: Estimate
    b_score: Estimate
    improved: int
    worsened: int
    same: int
    difference: Estimate
    verdict: Verdict
    needed: int | None
    changes: tuple[Change, ...]
    fields: dict[str, FieldChange] = field(default_factory=dict)


def check_different(project: Project, a: Side, b: Side) -> None:
    """Raises UsageError when both are the same."""
    if a.candidate and b.candidate:
        same = a.candidate.fingerprint(project) == b.candidate.fingerprint(project)
    else:
        same = a.source is not None and a.source == b.source
    if same:
        what = f"{a.source or a.name!r}" if a.name == b.name else f"{a.name!r} and {b.name!r}"
        raise UsageError(f"{what}: both are the same version. Name two different ones (tutelage prompts list).")


def common(project: Project, sides: Sequence[Side], examples: ExampleSet, limit: int | None = None) -> ExampleSet:
    """The examples that both can be compared on: those that every version among `sides` has answered, at most `limit`.

    Chosen by hash, so that a larger limit only adds to them. Raises DataError when there are none.
    """
    kept = list(examples.examples)
    for side in sides:
        if side.candidate is None:
            stored = _stored(project, side, examples)
            kept = [one for one in kept if one.example.id in stored]
            if not stored:
                raise DataError(
                    f"No example of {examples.split!r} has an answer of {side.source}. "
                    "A version that no candidate has now cannot be asked."
                )
    chosen = {one.example.id for one in sorted(kept, key=lambda one: one.example.id)[:limit]}
    return _only(examples, [one for one in kept if one.example.id in chosen], sides)


async def answer(project: Project, side: Side, examples: ExampleSet, tell: Tell = lambda name, progress: None) -> int:
    """Ask the candidate about the examples that it has not answered yet; a version is asked nothing. Returns how many.

    Raises TutelageError when it cannot be asked; what has arrived is kept.
    """
    if side.candidate is None or not _missing(project, side, examples):
        return 0
    return await evaluate(project, side.candidate, examples, lambda progress: tell(side.name, progress))


async def answer_all(
    project: Project, sides: Sequence[Side], examples: ExampleSet, tell: Tell = lambda name, progress: None
) -> tuple[int, dict[str, str]]:
    """`answer` for each side. Returns how many questions were asked, and by side's name why one could not be asked."""
    asked, problems = 0, {}
    for side in sides:
        try:
            asked += await answer(project, side, examples, tell)
        except TutelageError as error:
            problems[side.name] = str(error)
    return asked, problems


def compare(project: Project, a: Side, b: Side, examples: ExampleSet) -> Regression:
    """B against A on those of `examples` that both have answered. Raises DataError when there are none."""
    ours, theirs = _stored(project, b, examples), _stored(project, a, examples)
    kept = _only(examples, [e for e in examples.examples if e.example.id in ours and e.example.id in theirs], (a, b))
    task, n, gold = project.task, len(kept.examples), [one.value for one in kept.examples]
    first, second = ([stored[id] for id in kept.ids] for stored in (theirs, ours))
    values = [[answer.value for answer in answers] for answers in (first, second)]
    before, after = (statistic(project, kept.split, task.metric, gold, given) for given in values)
    scores = [
        _scores(project, statistic, gold, given) for statistic, given in zip((before, after), values, strict=True)
    ]
    changes = _changes(project, kept.examples, (first, second), (scores[0], scores[1]))
    found = difference(after, before, n)
    return Regression(
        a=a.name,
        b=b.name,
        metric=task.metric,
        split=kept.split,
        n=n,
        reference=kept.reference,
        a_score=estimate(before, n),
        b_score=estimate(after, n),
        improved=int((scores[1] > scores[0]).sum()),
        worsened=int((scores[1] < scores[0]).sum()),
        same=int((scores[1] == scores[0]).sum()),
        difference=found,
        verdict=_verdict(found, changes),
        needed=_needed(after, before, found, n),
        changes=tuple(changes),
        fields=_fields(project, gold, values[0], values[1]),
    )


def _only(examples: ExampleSet, kept: Sequence[Labelled], sides: Sequence[Side]) -> ExampleSet:
    if not kept:
        names = " and ".join(side.name for side in sides)
        raise DataError(f"{names}: no labelled example of {examples.split!r} is answered by both.")
    return examples.only(kept)


def _stored(project: Project, side: Side, examples: ExampleSet) -> dict[str, Prediction]:
    if side.candidate:
        return project.store.predictions.read(side.candidate.fingerprint(project), examples.ids)
    assert side.source is not None  # a side is a candidate or a version
    return project.store.predictions.by_source(side.source, examples.split)


def _missing(project: Project, side: Side, examples: ExampleSet) -> bool:
    stored = _stored(project, side, examples)
    return any(id not in stored or stored[id].error for id in examples.ids)


def _scores(project: Project, main: Statistic, gold: Sequence[Value], values: Answers) -> Floats:
    """The main metric's score of each example, or whether it is exactly right where the metric has none."""
    one = main if isinstance(main, Mean) else exact_match(project.task, gold, values)
    return one.scores


def _changes(
    project: Project,
    examples: Sequence[Labelled],
    answers: tuple[Sequence[Prediction], Sequence[Prediction]],
    scores: tuple[Floats, Floats],
) -> list[Change]:
    """Worsened first, then improved, by how much; then those that only read differently."""
    found = [
        Change(one.example.id, project.task.input_text(one.example.input), one.value, a, b, float(before), float(after))
        for one, a, b, before, after in zip(examples, *answers, *scores, strict=True)
        if canonical_json(a.value) != canonical_json(b.value) or before != after
    ]
    return sorted(found, key=lambda c: (c.a_score == c.b_score, c.b_score > c.a_score, -abs(c.b_score - c.a_score)))


def _fields(project: Project, gold: Sequence[Value], before: Answers, after: Answers) -> dict[str, FieldChange]:
    ours, theirs = field_matches(project.task, gold, after), field_matches(project.task, gold, before)
    return {
        name: FieldChange(
            int((ours[name].scores > theirs[name].scores).sum()),
            int((ours[name].scores < theirs[name].scores).sum()),
            difference(ours[name], theirs[name], len(gold)),
        )
        for name in ours
    }


def _verdict(found: Estimate, changes: Sequence[Change]) -> Verdict:
    if not changes:
        return "equal"
    return "better" if found.low > 0 else "worse" if found.high < 0 else "cannot tell"


def _needed(ours: Statistic, theirs: Statistic, found: Estimate, n: int) -> int | None:
    """From the standard deviation of the paired differences; of a metric without scores from the width of its interval."""
    if found.value == 0 or n == 1:
        return None
    if isinstance(ours, Mean) and isinstance(theirs, Mean):
        spread = float(np.std(ours.scores - theirs.scores, ddof=1))
    else:
        spread = (found.high - found.low) / (2 * NORMAL_95) * math.sqrt(n)
    if spread == 0:
        return None
    needed = math.ceil(((NORMAL_95 + NORMAL_80) * spread / found.value) ** 2)
    return max(needed, n + 1) if found.low <= 0 <= found.high else needed
