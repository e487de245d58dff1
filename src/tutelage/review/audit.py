"""How good are the labels, by a random audit? The share that people leave unchanged, of all labels and of those nobody has seen.

The order `audit` (`review.orders`) is drawn by hash and knows nothing of the labels, so that its first k examples are a random
sample without replacement, whatever k is. What was decided through other orders is no random sample: people look for errors
there. So the labels are split by what was known when the audit began:

- those decided by then: counted, not estimated;
- the others, which the order shuffles: those at its front, up to the first that nobody has decided and no further than the last
  that was decided through the audit, are the sample. One of them that meanwhile was decided through another order is in the
  sample with that decision: had it been left out, the sample would lack just what looked suspicious.

The number of right labels among the others gets an interval (`review.finite`); adding the known ones gives that of all labels,
taking off those decided since gives that of the labels that nobody has reviewed. Both inherit its coverage, as both only add
known numbers. An example of the sample that was skipped may be right or wrong: the interval reaches from where all such are
wrong to where all are right.

The coverage holds for a number of examples that was settled beforehand: who stops as soon as the estimate pleases, is pleased too
often.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from tutelage.evaluation.estimates import Estimate
from tutelage.project import Project
from tutelage.review.finite import limits
from tutelage.review.orders import AUDIT, audit_order
from tutelage.review.outcome import last_word, right_by
from tutelage.store import Decision, by_person, in_force
from tutelage.store.decisions import standing
from tutelage.tasks import Task
from tutelage.types import Label, Split

EVERYBODY = "all"
"""The name under which labels of all sources are estimated together."""


@dataclass(frozen=True, kw_only=True)
class Audited:
    """The labels of one source (or of all). Of `labels`, `known` were decided when the audit began; of the others the first
    `audited` are the sample, of which people left `right` unchanged and cannot or would not judge `skipped`.

    `accuracy` is the share of all that is right, as they were given; `rest` that of the `unreviewed` that nobody has judged.
    None where nothing was audited; where everything was, their intervals are points.
    """

    source: str
    labels: int
    known: int
    audited: int
    right: int
    skipped: int
    unreviewed: int
    accuracy: Estimate | None
    rest: Estimate | None


@dataclass(frozen=True)
class Judged:
    """What people say of a label: `right` None where that is not known. `before`: said when the audit began; `by_audit`: decided
    through it."""

    source: str
    seen: bool = False
    right: bool | None = None
    before: bool = False
    by_audit: bool = False


def audits(project: Project, split: Split) -> list[Audited]:
    """The labels of all sources together, then of each source with most labels first; [] where nothing has a label to review."""
    judged = judgements(project, split)
    sources: dict[str, list[str]] = {}
    for id, one in judged.items():
        sources.setdefault(one.source, []).append(id)
    groups = {EVERYBODY: list(judged)} | dict(sorted(sources.items(), key=lambda item: (-len(item[1]), item[0])))
    return [audited(name, {id: judged[id] for id in ids}) for name, ids in groups.items() if ids]


def audited(source: str, judged: Mapping[str, Judged]) -> Audited:
    """The estimate from what people said of these labels, by their examples' ids."""
    before = [one for one in judged.values() if one.before]
    others = audit_order([id for id, one in judged.items() if not one.before], AUDIT)
    sample = _sample(others, judged)
    right, unsure = _count([judged[id] for id in sample])
    counted, uncounted = _count(before)
    since, _ = _count([judged[id] for id in others])
    unreviewed = sum(one.right is None for one in judged.values())
    facts = {"labels": len(judged), "known": len(before), "audited": len(sample), "right": right, "skipped": unsure}
    accuracy = rest = None
    if len(sample) > unsure or not others:
        low, high = _between(sample, right, unsure, len(others))
        share = right / (len(sample) - unsure) if others else 0.0
        middle = share * len(others)
        if not others and uncounted:
            share = 0.5  # nothing says how many of the skipped are right
        accuracy = _estimate(middle + share * uncounted, low, high + uncounted, counted, len(judged))
        rest = _estimate(middle + share * uncounted, low, high + uncounted, -since, unreviewed)
    return Audited(source=source, **facts, unreviewed=unreviewed, accuracy=accuracy, rest=rest)


def _between(sample: Sequence[str], right: int, unsure: int, population: int) -> tuple[int, int]:
    """The least and the largest number of right labels in the population, whatever the skipped ones are."""
    if not population:
        return 0, 0
    coin = int.from_bytes(hashlib.sha256("".join(sorted(sample)).encode()).digest()[:8], "big") / 2**64
    lowest, highest = limits(right, len(sample), population, coin)
    if unsure:
        _, highest = limits(right + unsure, len(sample), population, coin)
    return lowest, highest


def _estimate(value: float, low: float, high: float, more: int, n: int) -> Estimate | None:
    """Numbers of right labels, and `more` that are known, as shares of `n`; None of none."""
    if not n:
        return None
    return Estimate(*(min(max((one + more) / n, 0.0), 1.0) for one in (value, low, high)))


def _sample(order: Sequence[str], judged: Mapping[str, Judged]) -> list[str]:
    """The front of the order that was decided, up to the last decided through the audit; all of it where all was decided."""
    end = next((at for at, id in enumerate(order) if not judged[id].seen), None)
    if end is None:
        return list(order)
    last = max((at for at in range(end) if judged[order[at]].by_audit), default=-1)
    return list(order[: last + 1])


def _count(some: Iterable[Judged]) -> tuple[int, int]:
    """How many are right, and of how many that is not known."""
    said = [one.right for one in some]
    return sum(right is True for right in said), sum(right is None for right in said)


def judgements(project: Project, split: Split) -> dict[str, Judged]:
    """What people say of every label of `split` that no person gave (the one in force of those), by example id."""
    ids = project.store.examples.ids(split)
    labels, decisions = project.store.labels.of(ids), project.store.decisions.of(ids)
    audit = [one for made in decisions.values() for one in made if one.queue == AUDIT and one.verdict != "undo"]
    began = min((one.created for one in audit), default="")
    through = {one.example_id for one in audit}
    found = {}
    for id, given in labels.items():
        label = in_force(one for one in given if not by_person(one.source))
        if label is not None:
            found[id] = _judged(project.task, label, given, decisions.get(id, ()), began)
    return {id: _through(one, id, through) for id, one in found.items()}


def _judged(task: Task, label: Label, labels: Sequence[Label], decisions: Sequence[Decision], began: str) -> Judged:
    word = last_word(labels)
    early = last_word([one for one in labels if one.created < began])
    if word is None:
        return Judged(label.source, seen=bool(standing(decisions)), before=early is not None)
    return Judged(label.source, seen=True, right=right_by(task, word, label.value), before=early is not None)


def _through(one: Judged, id: str, audited: Collection[str]) -> Judged:
    return Judged(one.source, one.seen, one.right, one.before, id in audited)
