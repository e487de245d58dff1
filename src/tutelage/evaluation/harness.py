"""Evaluating candidates: everybody answers the same examples; answers are stored and never paid for twice."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from tutelage.errors import DataError
from tutelage.evaluation.asking import Progress, ask
from tutelage.evaluation.candidates import Candidate, close
from tutelage.evaluation.latency import Latency, from_seconds, measure
from tutelage.evaluation.parts import Composed, remembered
from tutelage.project import Project
from tutelage.store import Origin
from tutelage.types import Labelled, Prediction, Predictor, Split, digest


@dataclass(frozen=True)
class ExampleSet:
    """Labelled examples of one split and whose labels they carry; `fingerprint` is the hash of ids and gold values."""

    split: Split
    examples: tuple[Labelled, ...]
    reference: str

    @property
    def fingerprint(self) -> str:
        return digest([[e.example.id, e.value] for e in self.examples])

    @property
    def ids(self) -> list[str]:
        return [e.example.id for e in self.examples]

    def only(self, kept: Sequence[Labelled]) -> ExampleSet:
        """Some of the examples, scored against the same labels."""
        return ExampleSet(self.split, tuple(kept), _reference(self.reference.partition(" ")[0], kept))


def _reference(whose: str, found: Sequence[Labelled]) -> str:
    sources = sorted({e.source for e in found})
    counts = ", ".join(f"{sum(e.source == source for e in found)} from {source}" for source in sources)
    return f"{whose} labels ({counts})"


def example_set(project: Project, split: Split, against: Origin | None = None) -> ExampleSet:
    """The examples of `split` that have a label to score against.

    Against gold (a person's or imported labels) wherever the split has any, else against the teacher's; never both
    in one set, and never inputs that a model wrote. Raises DataError when there is nothing to score against.
    """
    tries: tuple[Origin, ...] = (against,) if against else ("gold", "teacher")
    for whose in tries:
        found = tuple(one for one in project.store.labels.read(split, whose) if not one.example.synthetic)
        if found:
            return ExampleSet(split, found, _reference(whose, found))
    count = project.store.examples.counts()[split]
    asked = f"{against} " if against else ""
    raise DataError(
        f"No {asked}labels to score against: {split!r} has {count} examples, none labelled. Add some with --label."
    )


def every_example(project: Project, split: Split) -> ExampleSet:
    """All examples of `split`, labelled or not, to be answered and not scored; none that a model wrote. Raises DataError when
    there are none."""
    found = tuple(Labelled(one, "", "") for one in project.store.examples.read(split) if not one.synthetic)
    if not found:
        raise DataError(f"{split!r} has no examples. Add some with: tutelage add FILE --split {split}")
    return ExampleSet(split, found, "nothing")


async def evaluate(
    project: Project,
    candidate: Candidate,
    examples: ExampleSet,
    tell: Callable[[Progress], None] = lambda progress: None,
) -> int:
    """Make `candidate` answer the examples it has not answered yet and measure its speed. Returns how many were asked.

    Answers land in the store as they arrive; failed ones are stored and asked again the next time.
    """
    key = candidate.fingerprint(project)
    stored = project.store.predictions.read(key, examples.ids)
    missing = [e.example for e in examples.examples if e.example.id not in stored or stored[e.example.id].error]
    local = candidate.family.role in ("student", "pretrained")
    known = project.store.measurements.get(key, examples.split)
    if not missing and known and (not local or known["n"] == len(examples.examples)):
        return 0
    predictor = candidate.build(project)
    if isinstance(predictor, Composed):
        predictor = predictor.through(partial(remembered, project))
    try:
        if local:
            await _measured(project, predictor, key, examples, tell)
            return len(examples.examples)
        start = time.perf_counter()
        await ask(project, predictor, key, missing, tell)
        if missing:
            facts = {"n": len(missing), "rate": len(missing) / max(time.perf_counter() - start, 1e-9)}
            project.store.measurements.put(key, examples.split, facts)
        return len(missing)
    finally:
        await close(predictor)


async def _measured(
    project: Project,
    predictor: Predictor,
    key: str,
    examples: ExampleSet,
    tell: Callable[[Progress], None],
) -> None:
    predictions, latency = await measure(predictor, [e.example.input for e in examples.examples])
    project.store.predictions.add(key, list(zip(examples.ids, predictions, strict=True)))
    project.store.measurements.put(key, examples.split, {"n": len(predictions), **latency.facts()})
    tell(Progress(len(predictions), len(predictions), 0.0))


def answers(
    project: Project, candidate: Candidate, examples: ExampleSet
) -> tuple[list[Prediction], Mapping[str, Any]] | None:
    """The stored answers, in the order of the examples, and what was measured; None when not all were asked."""
    key = candidate.fingerprint(project)
    stored = project.store.predictions.read(key, examples.ids)
    if len(stored) < len(examples.ids):
        return None
    return [stored[id] for id in examples.ids], project.store.measurements.get(key, examples.split) or {}


def latency_of(candidate: Candidate, predictions: Sequence[Prediction], facts: Mapping[str, Any]) -> Latency:
    """Measured here for what runs in this process, else from the seconds each stored answer took."""
    if "p50" in facts:
        return Latency(**{name: value for name, value in facts.items() if name != "n"})
    seconds = [p.usage.seconds for p in predictions if p.usage.seconds > 0]
    if candidate.family.role == "recorded":
        rate = len(seconds) / sum(seconds) if seconds else 0.0
        return from_seconds(seconds, rate, "as recorded, one at a time")
    if candidate.family.role == "system":
        return from_seconds(seconds, 0.0, "its parts' seconds, added (of those asked at once the slowest's)")
    return from_seconds(seconds, facts.get("rate", 0.0), "wall time of each call when it was asked")
