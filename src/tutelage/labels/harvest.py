"""Traces into examples: the inputs that teach most, and what people and teachers answered to them as labels.

What is taken depends on the traces and on what was there before them, so a second run chooses the same and adds nothing.
Inputs that were chosen for being doubtful, new, failed or escalated are not like the traffic, so they go into train alone:
only those drawn at random, whose split follows from their hash as always, may reach dev, calibration and test, which are to
say how it goes with the traffic as it is.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tutelage.labels.observed import Observed, Pool, observe
from tutelage.labels.splitting import split_of
from tutelage.project import Project
from tutelage.registry import load
from tutelage.store import Store, TraceFilter
from tutelage.types import SPLITS, Example, Label, Split

REASONS = ("doubtful", "novel", "failed", "escalated", "random")
"""What inputs are chosen for, in equal shares."""
MOST_KNOWN, MOST_COMPARED = 5_000, 5_000
"""Examples of train, and inputs, that are compared for novelty; of more, so many drawn by hash."""

Whose = Literal["all", "people", "none"]


@dataclass(frozen=True, kw_only=True)
class HarvestOptions:
    """`n` inputs are taken besides those that a person has labelled; `trusted` are the people whose labels are (empty: all);
    `labels` says whose labels are taken."""

    n: int = 200
    since: str | None = None
    until: str | None = None
    trusted: Collection[str] = ()
    labels: Whose = "all"
    dry_run: bool = False


@dataclass(frozen=True, kw_only=True)
class HarvestReport:
    """`taken` counts inputs by what they were chosen for, with `people` for those that a person has labelled; `added` of them
    are new, by split in `by_split`. `held_back` were labelled by people and belong by hash into a split that only random
    inputs may enter. `labels` counts new labels by source. The rest is as in `observed.Pool`."""

    task: str
    traces: int
    inputs: int
    unread: int
    unfit: int
    taken: Mapping[str, int]
    added: int
    known: int
    held_back: int
    by_split: Mapping[Split, int]
    labels: Mapping[str, int]
    dry_run: bool = False


@dataclass
class _Choice:
    reasons: dict[str, str] = field(default_factory=dict)
    """Why, by id, in the order chosen."""
    held_back: int = 0


def harvest(project: Project, traces: Store, options: HarvestOptions | None = None) -> HarvestReport:
    """Make examples and labels of the project's traces in the store `traces`. Raises StoreError."""
    options = options or HarvestOptions()
    which = TraceFilter(task=project.task.name, since=options.since, until=options.until)
    pool = observe(traces, project.task, which, options.trusted)
    choice = _chosen(project, pool, options)
    examples = [Example(id, pool.inputs[id].input, split_of(id)) for id in choice.reasons]
    stored = project.store.examples.splits(list(pool.inputs))
    fresh = [example for example in examples if example.id not in stored]
    labels = list(_labels(pool, {*choice.reasons, *stored}, options))
    if options.dry_run:
        counts = Counter(label.source for label in labels)
    else:
        project.store.examples.add(fresh)
        counts = Counter(_added(project, labels))
    return HarvestReport(
        task=project.task.name,
        traces=pool.traces,
        inputs=len(pool.inputs),
        unread=pool.unread,
        unfit=pool.unfit,
        taken={reason: n for reason in ("people", *REASONS) if (n := list(choice.reasons.values()).count(reason))},
        added=len(fresh),
        known=len(examples) - len(fresh),
        held_back=choice.held_back,
        by_split={split: sum(one.split == split for one in fresh) for split in SPLITS},
        labels=dict(sorted(counts.items())),
        dry_run=options.dry_run,
    )


def _chosen(project: Project, pool: Pool, options: HarvestOptions) -> _Choice:
    choice = _Choice()
    # Whether an input is stored must not matter here: the second time all that was chosen is.
    said = [] if options.labels == "none" else [id for id, one in pool.inputs.items() if one.people]
    choice.reasons |= {id: "people" for id in said if split_of(id) == "train"}
    queues = {reason: iter(order) for reason, order in _orders(project, pool).items()}
    wanted = len(choice.reasons) + options.n
    while queues and len(choice.reasons) < wanted:
        for reason in list(queues):
            found = next((id for id in queues[reason] if id not in choice.reasons), None)
            if found is None:
                del queues[reason]  # what it lacks the others give
            elif len(choice.reasons) < wanted:
                choice.reasons[found] = reason
    stored = project.store.examples.splits(said)
    choice.held_back = sum(id not in stored and id not in choice.reasons for id in said)
    return choice


def _orders(project: Project, pool: Pool) -> dict[str, list[str]]:
    """For each reason the inputs it applies to, best first; ties by hash, so that the order is no accident."""
    drawn = sorted(pool.inputs.values(), key=lambda one: _hash(one.id))
    train = [one for one in drawn if split_of(one.id) == "train"]
    far = _novelty(project, pool, train)

    def ids(found: Sequence[Observed], key: Callable[[Observed], float] | None = None) -> list[str]:
        return [one.id for one in (sorted(found, key=key) if key else found)]

    return {
        "doubtful": ids([one for one in train if one.confidence is not None], lambda one: one.confidence or 0.0),
        "novel": ids([one for one in train if far.get(one.id, 0.0) > 0], lambda one: -far[one.id]),
        "failed": ids([one for one in train if one.failed]),
        "escalated": ids([one for one in train if one.escalated]),
        "random": ids(drawn),
    }


def _novelty(project: Project, pool: Pool, train: Sequence[Observed]) -> dict[str, float]:
    """Distance from the examples of train that are not themselves among the traces."""
    known = [one for one in project.store.examples.read("train") if one.id not in pool.inputs]
    known = sorted(known, key=lambda one: _hash(one.id))[:MOST_KNOWN]
    if not known:
        return {}
    distances: Callable[[list[str], list[str]], list[float]] = load("tutelage.labels.novelty:distances")
    texts = [project.task.input_text(one.input) for one in train[:MOST_COMPARED]]
    found = distances([project.task.input_text(one.input) for one in known], texts)
    return {one.id: distance for one, distance in zip(train, found, strict=False)}


def _labels(pool: Pool, ids: Collection[str], options: HarvestOptions) -> Iterator[Label]:
    """What people and teachers answered to these inputs."""
    for id, one in pool.inputs.items():
        if id not in ids or options.labels == "none":
            continue
        yield from one.people
        if options.labels == "all":
            yield from one.teachers.values()


def _added(project: Project, labels: Sequence[Label]) -> Iterator[str]:
    """Store the labels; the source of each that is new."""
    by_source: dict[str, list[Label]] = {}
    for label in labels:
        by_source.setdefault(label.source, []).append(label)
    for source, some in by_source.items():
        yield from [source] * project.store.labels.add(some)


def _hash(id: str) -> bytes:
    return hashlib.sha256(b"tutelage harvest 1\0" + id.encode()).digest()
