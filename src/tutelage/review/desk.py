"""What an annotator gets next. The desk keeps orders and what was decided in memory, so that 100,000 examples are no more to
look through than ten; what other processes decide, it learns as it goes.

Each example is for one person, whoever comes first (or whose it is, where examples are assigned), a doubled one for two. While
somebody has an example before them, nobody else gets it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tutelage.errors import AnswerError, DataError, StaleDecision, TutelageError
from tutelage.project import Project
from tutelage.review.annotators import check_review, doubled, owners
from tutelage.review.deciding import Word, decide, undo
from tutelage.review.orders import FILE, order
from tutelage.review.outcome import HUMAN
from tutelage.review.progress import Counter, Progress
from tutelage.review.shown import Reader, Shown, in_conflict
from tutelage.store import Decision, Purpose, Queued, by_person
from tutelage.types import Split

LEASE = 600.0
"""Seconds for which an example that somebody has before them is kept from others."""
STALE = 30.0
"""Seconds after which a queue that has come to its end is asked again for new examples."""
SKIPPED = "skipped"
"""The order of those that the annotator skipped."""
AGAIN = ("errors",)
"""Orders that question labels whoever gave them: those that people gave elsewhere come up too."""


@dataclass
class _Queue:
    """An order in memory. `starts` is where, for each annotator (and whether those labelled twice are left out), the first
    example may be that is still open."""

    entries: list[Queued]
    read: float
    again: bool = False
    """Labels that people gave elsewhere are reviewed too."""
    places: dict[str, int] = field(default_factory=dict)
    starts: dict[tuple[str, bool], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.places = {one.example_id: at for at, one in enumerate(self.entries)}


class Desk:
    """One split of a project under review. Safe to use from several threads."""

    def __init__(self, project: Project, split: Split, clock: Callable[[], float] = time.monotonic) -> None:
        check_review(project)
        self.project, self.split = project, split
        self._clock, self._lock, self._loading = clock, threading.RLock(), threading.Lock()
        self._reader = Reader(project)
        self._queues: dict[str, _Queue] = {}
        self._leases: dict[str, dict[str, float]] = {}
        self._seq = 0
        self._stacks: dict[str, dict[str, Decision]] = {}
        self._standing: dict[str, dict[str, Decision]] = {}
        self._others: dict[str, set[str]] = {}
        self._conflicts: dict[str, None] = {}
        self._counter = Counter(project.task)
        self._reload()

    def progress(self) -> Progress:
        with self._lock:
            self._catch_up()
            return self._counter.progress()

    def queue(self, name: str) -> int:
        """How many examples the order `name` has; it is made where there is none. Raises UnknownName, UsageError."""
        return len(self._queue(name).entries)

    def why(self, name: str, example_id: str) -> Queued | None:
        """Where the order puts an example, and why."""
        found = self._queues.get(name)
        return found.entries[found.places[example_id]] if found and example_id in found.places else None

    def next(self, annotator: str, name: str = FILE, count: int = 1, single: bool = False) -> list[str]:
        """The next examples of the order for this annotator, kept from others from now on; [] where none is left.

        With `single` without those that are labelled twice.
        """
        queue = self._queue(name) if name != SKIPPED else None
        found = self._next(annotator, queue, count, single)
        if not found and queue is not None and self._clock() - queue.read > STALE:
            queue.read = self._clock()
            if set(self.project.store.examples.ids(self.split)) != self._ids:
                self._reload(name)
                found = self._next(annotator, self._queue(name), count, single)
        return found

    def show(self, ids: Sequence[str], annotator: str, purpose: Purpose | None = None) -> list[Shown]:
        """What the annotator is shown of these examples, of those that there are in this split."""
        with self._lock:
            self._catch_up()
        purposes = {id: purpose or self._purpose(id) for id in ids}
        shown = [one for one in self._reader.read(purposes, annotator).values() if one.example.split == self.split]
        with self._lock:
            for one in shown if purpose is None else ():
                self._lease(one.example.id, annotator)
        return shown

    def decide(self, example_id: str, word: Word, purpose: Purpose | None = None) -> Decision:
        """Store what an annotator said. Raises as `deciding.decide`, and DataError for an example that is not there."""
        (done,) = self.decide_all({example_id: word}, word.annotator, purpose)
        if isinstance(done, TutelageError):
            raise done
        return done

    def decide_all(
        self, words: Mapping[str, Word], annotator: str, purpose: Purpose | None = None
    ) -> list[Decision | TutelageError]:
        """Store what the annotator said of these examples, each by itself; for what was refused the error that says why."""
        shown = self._reader.read({id: purpose or self._purpose(id) for id in words}, annotator)
        done: list[Decision | TutelageError] = []
        for id, word in words.items():
            try:
                if id not in shown or shown[id].example.split != self.split:
                    raise DataError(f"There is no example {id!r} in {self.split}. Load the page again.")
                done.append(decide(self.project, shown[id], word))
            except (AnswerError, DataError, StaleDecision) as error:
                done.append(error)
        with self._lock:
            self._catch_up()
            for one in done:
                if isinstance(one, Decision):
                    self._leases.get(one.example_id, {}).pop(annotator, None)
        return done

    def newest(self, annotator: str) -> Decision | None:
        """The annotator's newest decision that stands: what an undo takes back."""
        with self._lock:
            self._catch_up()
            return next(reversed(self._stacks.get(annotator, {}).values()), None)

    def undo(self, word: Word, target: str) -> Decision:
        """Take back the decision `target`, the annotator's newest. Raises StaleDecision where it is not, DataError for none."""
        newest = self.newest(word.annotator)
        made = self._made(word, target)
        if made is not None:
            return made
        if newest is None:
            raise DataError("There is nothing to take back.")
        if newest.id != target:
            raise StaleDecision("You have decided something else since this page was opened. Load the page again.")
        shown = self._reader.read({newest.example_id: newest.purpose}, word.annotator)
        decision = undo(self.project, shown[newest.example_id], word, newest)
        with self._lock:
            self._catch_up()
        return decision

    def conflicts(self) -> list[str]:
        """The examples of which two people say different things, the oldest conflict first."""
        with self._lock:
            self._catch_up()
            return list(self._conflicts)

    def skipped(self, annotator: str) -> list[str]:
        """The examples that the annotator skipped, the earliest first."""
        with self._lock:
            mine = self._stacks.get(annotator, {}).values()
            return [one.example_id for one in mine if one.verdict == "skip" and self._said(one)]

    def elsewhere(self) -> int:
        """How many examples people have labelled in other ways than here."""
        with self._lock:
            return len(self._others)

    def _made(self, word: Word, target: str) -> Decision | None:
        """The undo that was stored with this very word already."""
        return next((one for one in self.project.store.decisions.last(word.annotator, 20) if one.id == word.id), None)

    def _queue(self, name: str) -> _Queue:
        if (known := self._queues.get(name)) is not None:
            return known
        with self._loading:  # some orders take minutes to make; those that are there need not wait
            if name not in self._queues:
                entries = order(self.project, name, self.split)
                with self._lock:
                    self._queues[name] = _Queue(entries, self._clock(), name in AGAIN)
            return self._queues[name]

    def _next(self, annotator: str, queue: _Queue | None, count: int, single: bool) -> list[str]:
        with self._lock:
            self._catch_up()
            if queue is None:
                return self.skipped(annotator)[:count]
            found: list[str] = []
            for id in self._open(annotator, queue, single):
                found.append(id)
                self._lease(id, annotator)
                if len(found) == count:
                    break
            return found

    def _open(self, annotator: str, queue: _Queue, single: bool) -> Iterator[str]:
        """The examples that this annotator may take, in order. What is closed to them at the front is passed over for good."""
        passing, key = True, (annotator, single)
        for at in range(queue.starts.get(key, 0), len(queue.entries)):
            id = queue.entries[at].example_id
            if self._closed(annotator, id, queue.again) or (single and doubled(self.project, id)):
                if passing:
                    queue.starts[key] = at + 1
                continue
            passing = False
            if not self._taken(annotator, id, queue.again):
                yield id

    def _closed(self, annotator: str, id: str, again: bool) -> bool:
        """Whether the example is not this annotator's, or done."""
        if annotator in self._standing.get(id, {}) or annotator in self._speakers(id, again):
            return True
        if (mine := owners(self.project, id)) and annotator not in mine:
            return True
        return len(self._speakers(id, again)) >= self._wanted(id)

    def _taken(self, annotator: str, id: str, again: bool) -> bool:
        """Whether others who have the example before them are as many as may still decide."""
        leases = self._leases.get(id)
        if not leases:
            return False
        speakers, clock = self._speakers(id, again), self._clock()
        waiting = [who for who, until in leases.items() if until > clock and who != annotator and who not in speakers]
        return len(speakers) + len(waiting) >= self._wanted(id)

    def _wanted(self, id: str) -> int:
        return 2 if doubled(self.project, id) else 1

    def _speakers(self, id: str, again: bool = False) -> set[str]:
        """Who has said something of the example, with `again` here alone."""
        decided = {who for who, one in self._standing.get(id, {}).items() if one.verdict != "skip"}
        return decided if again else decided | self._others.get(id, set())

    def _purpose(self, id: str) -> Purpose:
        return "double" if doubled(self.project, id) else "review"

    def _lease(self, id: str, annotator: str) -> None:
        self._leases.setdefault(id, {})[annotator] = self._clock() + LEASE

    def _said(self, decision: Decision) -> bool:
        """Whether it is the annotator's newest decision on its example."""
        newest = self._standing.get(decision.example_id, {}).get(decision.annotator)
        return newest is not None and newest.id == decision.id

    def _reload(self, name: str | None = None) -> None:
        """Read anew what is there: the examples, the labels of people that came in other ways, all decisions."""
        with self._lock:
            if name is not None:
                self._queues.pop(name, None)
            ids = set(self.project.store.examples.ids(self.split))
            self._counter = Counter(self.project.task, ids)
            self._seq, self._stacks, self._standing, self._conflicts = 0, {}, {}, {}
            self._others = {}
            self._ids = ids
            decisions = self._take()
            labels = self.project.store.labels
            for source in {source for source, split, _ in labels.counts() if split == self.split and by_person(source)}:
                who = source.removeprefix(HUMAN)
                for id in labels.labelled_by(source) & ids:
                    if who not in self._standing.get(id, {}):
                        self._others.setdefault(id, set()).add(who)
            several = {id for id in {*self._standing, *self._others} if len(self._speakers(id)) > 1}
            several |= {one.example_id for one in decisions if one.purpose == "conflict"} & ids
            self._look(sorted(several))

    def _catch_up(self) -> None:
        """Learn what was decided since, here or by other processes."""
        changed = {one.example_id for one in self._take()} & self._ids
        for id in changed:
            for queue in self._queues.values():
                at = queue.places.get(id, 0)
                for key, start in queue.starts.items():
                    if start > at and not self._closed(key[0], id, queue.again):
                        queue.starts[key] = at
        self._look([id for id in changed if len(self._speakers(id)) > 1 or id in self._conflicts])

    def _take(self) -> list[Decision]:
        news, self._seq = self.project.store.decisions.after(self._seq)
        for one in news:
            if one.example_id not in self._ids:
                continue
            self._counter.add(one)
            mine = self._stacks.setdefault(one.annotator, {})
            if one.verdict == "undo":
                mine.pop(one.undoes or "", None)
            else:
                mine[one.id] = one
            self._stand(one, mine)
        return news

    def _stand(self, news: Decision, mine: dict[str, Decision]) -> None:
        """Remember what the annotator of `news` says of its example now."""
        standing = self._standing.setdefault(news.example_id, {})
        newest = news
        if news.verdict == "undo":
            earlier = (one for one in reversed(mine.values()) if one.example_id == news.example_id)
            newest = next(earlier, news)
        if newest.verdict == "undo":
            standing.pop(news.annotator, None)
        else:
            standing[news.annotator] = newest

    def _look(self, ids: Sequence[str]) -> None:
        """Whether people contradict each other on these examples."""
        labels, decisions = self.project.store.labels.of(ids), self.project.store.decisions.of(ids)
        for id in ids:
            if in_conflict(self.project.task, labels.get(id, []), decisions.get(id, [])):
                self._conflicts.setdefault(id)
            else:
                self._conflicts.pop(id, None)
