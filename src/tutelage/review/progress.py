"""How far a review is, how fast it goes, and how much of what was suggested people left as it was.

progress(project, "train")                          # of all decisions in the store
counter = Counter(task, ids); counter.add(decision) # as they are made: a page asks for `progress()` each time it is shown
"""

from __future__ import annotations

import itertools
import math
from collections import Counter as Counts
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from tutelage.evaluation.estimates import Estimate
from tutelage.project import Project
from tutelage.review.outcome import Outcome, outcome
from tutelage.store.decisions import Decision
from tutelage.tasks import Task
from tutelage.types import Split

NORMAL = 1.959963984540054
"""The quantile of the normal distribution for an interval of 95 %."""

RECENT = 50
"""Decisions of each annotator by which the pace is measured."""

PAUSE = 300.0
"""Seconds without a decision that are no work any more."""

UNKNOWN = "(none)"
"""The source of a suggestion that names none."""


def progress(project: Project, split: Split) -> Progress:
    """The progress of the examples of `split`, from all decisions in the store."""
    counter = Counter(project.task, {one.id for one in project.store.examples.read(split)})
    counter.extend(project.store.decisions.read())
    return counter.progress()


def wilson(count: int, n: int) -> Estimate:
    """The share `count` of `n` > 0 with its score interval (Wilson 1927)."""
    share, square = count / n, NORMAL**2
    middle = (share + square / (2 * n)) / (1 + square / n)
    half = NORMAL / (1 + square / n) * math.sqrt(share * (1 - share) / n + square / (4 * n * n))
    return Estimate(share, max(0.0, middle - half), min(1.0, middle + half))


@dataclass(frozen=True, slots=True)
class Tally:
    """Decisions by what they say. `shares`: of the suggestions that were judged the share of each outcome, and how many of all
    decisions were skipped, with Wilson's intervals; {} where nothing was."""

    unchanged: int = 0
    adjusted: int = 0
    rejected: int = 0
    skipped: int = 0
    given: int = 0

    @property
    def judged(self) -> int:
        """How many suggestions were judged."""
        return self.unchanged + self.adjusted + self.rejected

    @property
    def decided(self) -> int:
        return self.judged + self.given

    @property
    def shares(self) -> dict[str, Estimate]:
        found = {}
        if self.judged:
            found = {name: wilson(getattr(self, name), self.judged) for name in ("unchanged", "adjusted", "rejected")}
        if self.decided + self.skipped:
            found["skipped"] = wilson(self.skipped, self.decided + self.skipped)
        return found

    def facts(self) -> dict[str, object]:
        """As JSON: the counts, the number judged, and the shares."""
        names = ("unchanged", "adjusted", "rejected", "skipped", "given", "judged")
        counts = {name: getattr(self, name) for name in names}
        shares = {name: {"value": s.value, "low": s.low, "high": s.high} for name, s in self.shares.items()}
        return counts | {"shares": shares}


@dataclass(frozen=True, slots=True)
class Progress:
    """`decided` of `total` examples were decided by somebody (skipping is no decision); `pace` is decisions per hour of work by
    the recent ones, None where there are too few. `by_source` has the suggestions' sources (prompt versions)."""

    total: int
    decided: int
    pace: float | None
    all: Tally
    by_source: Mapping[str, Tally]
    by_annotator: Mapping[str, Tally]
    tags: Mapping[str, int]

    def facts(self) -> dict[str, object]:
        """As JSON."""
        return {
            "total": self.total,
            "decided": self.decided,
            "pace": self.pace,
            "all": self.all.facts(),
            "by_source": {name: one.facts() for name, one in self.by_source.items()},
            "by_annotator": {name: one.facts() for name, one in self.by_annotator.items()},
            "tags": dict(self.tags),
        }


class Counter:
    """Counts decisions as they come, each in constant time; what is taken back or decided anew is counted as it stands.

    `ids` are the examples that are counted; None: all, and then `total` is how many there are.
    """

    def __init__(self, task: Task, ids: Collection[str] | None = None, total: int = 0) -> None:
        self._task, self._ids = task, ids
        self._total = total if ids is None else len(ids)
        self._standing: dict[tuple[str, str, str], list[Decision]] = {}
        self._by: dict[tuple[str, str], Counts[Outcome]] = {}
        self._tags: Counts[str] = Counts()
        self._deciders: Counts[str] = Counts()
        self._times: dict[str, deque[float]] = {}

    def extend(self, decisions: Iterable[Decision]) -> None:
        for one in decisions:
            self.add(one)

    def add(self, decision: Decision) -> None:
        """Count the next decision, which is newer than all before."""
        if self._ids is not None and decision.example_id not in self._ids:
            return
        mine = self._standing.setdefault((decision.example_id, decision.annotator, decision.purpose), [])
        if mine:
            self._count(mine[-1], -1)
        if decision.verdict == "undo":
            mine[:] = [one for one in mine if one.id != decision.undoes]
        else:
            mine.append(decision)
            if decision.created:
                moment = datetime.fromisoformat(decision.created).timestamp()
                self._times.setdefault(decision.annotator, deque(maxlen=RECENT)).append(moment)
        if mine:
            self._count(mine[-1], 1)

    def progress(self) -> Progress:
        """As of now; takes as long as there are sources and annotators."""
        sources, annotators = Counts[str](), Counts[str]()
        tallies = {}
        for key, counts in self._by.items():
            tallies[key] = Tally(**{str(name): count for name, count in counts.items()})
            of = {"source": sources, "annotator": annotators}.get(key[0])
            if of is not None and counts.total():
                of[key[1]] = counts.total()
        return Progress(
            total=self._total,
            decided=len(self._deciders),
            pace=self._pace(),
            all=tallies.get(("all", ""), Tally()),
            by_source={name: tallies["source", name] for name, _ in sources.most_common()},
            by_annotator={name: tallies["annotator", name] for name in sorted(annotators)},
            tags={tag: count for tag, count in self._tags.most_common() if count},
        )

    def _count(self, decision: Decision, by: int) -> None:
        what = outcome(self._task, decision)
        keys = [("all", ""), ("annotator", decision.annotator)]
        if decision.suggestion is not None:
            keys.append(("source", decision.suggested_by or UNKNOWN))
        for key in keys:
            self._by.setdefault(key, Counts())[what] += by
        for tag in decision.tags:
            self._tags[tag] += by
        if what != "skipped":
            self._deciders[decision.example_id] += by
            if not self._deciders[decision.example_id]:
                del self._deciders[decision.example_id]

    def _pace(self) -> float | None:
        """Decisions per hour: the time between neighbouring decisions of an annotator, without pauses."""
        gaps = []
        for times in self._times.values():
            gaps += [b - a for a, b in itertools.pairwise(times) if 0 <= b - a <= PAUSE]
        return 3600 * len(gaps) / sum(gaps) if sum(gaps) > 0 else None
