"""Which answers an annotator compares next, blind, and what is stored of the comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Literal, TypeAlias

from tutelage.errors import DataError, StaleDecision, UsageError
from tutelage.evaluation.candidates import Candidate, candidate
from tutelage.evaluation.preference.people import pairs
from tutelage.project import Project
from tutelage.store import Answer, Preference, now
from tutelage.types import Example, Split, Value, canonical_json, digest

Kind: TypeAlias = Literal["pair", "ranking"]
MOST = 7
"""The best score of a ranking; 1 is the worst."""
MOST_ANSWERS = 9
LONGEST_NOTE = 2000
SCORES: dict[Kind, tuple[float, ...]] = {"pair": (0.0, 0.5, 1.0), "ranking": tuple(map(float, range(1, MOST + 1)))}


@dataclass(frozen=True)
class Shown:
    """An answer as it stands on the page, and the candidates that gave it, which the page does not say."""

    value: Value
    given: tuple[Answer, ...]


@dataclass(frozen=True)
class Question:
    """Unequal answers to an example in the order in which this annotator sees them. `id` is that of the preference that answers
    it: the same on every page that asks it, and another once it was taken back."""

    id: str
    example: Example
    annotator: str
    answers: tuple[Shown, ...]


@dataclass(frozen=True)
class Standing:
    """How far an annotator is: `done` of `total` questions; `last` is the newest one that can be taken back."""

    done: int
    total: int
    last: str | None


class Preferring:
    """The stored answers of `names` to the examples of a split that need a person's word, and what was said of them.

    Equal answers are not asked about, nor are failed ones, as `tutelage judge` does it. What other servers on the same store
    add is seen at the next question.
    """

    def __init__(self, project: Project, names: Sequence[str], split: Split, kind: Kind = "pair") -> None:
        self.project, self.names, self.split, self.kind = project, tuple(names), split, kind
        self.candidates = _candidates(project, names, kind)
        given = _given(project, self.candidates, split)
        self.answered = len(given)
        """Examples that all of the candidates answered, also those that nobody is asked about."""
        self._shown = {id: shown for id, answers in sorted(given.items()) if (shown := _distinct(answers))}
        if not self._shown:
            raise DataError(_nothing(self.names, split, self.answered))
        self.ids = tuple(self._shown)
        """The examples that are asked about, in order."""
        self._lock, self._last = Lock(), 0
        self._stored: dict[str, Preference] = {}
        self._standing: dict[str, dict[str, Preference]] = {}
        self._withdrawn: set[str] = set()
        self._undone: dict[str, int] = {}
        self._done: dict[str, set[str]] = {}
        self.refresh()

    def refresh(self, again: bool = False) -> None:
        """Read what was stored since, or `again` from the first: a row may become visible after one with a higher number."""
        with self._lock:
            self._last = 0 if again else self._last
            for seq, one in self.project.store.preferences.after(self._last):
                self._last = max(seq, self._last)
                self._take(one)

    def next(self, annotator: str, at: str = "", after: str = "") -> Question | None:
        """The first question that this annotator has not answered: from the example `at` on, or the one `after` another, and then
        from the start."""
        self.refresh()
        done = self._done.get(annotator, set())
        first = None
        for id in self._shown:
            if id not in done:
                if id >= at and id > after:
                    return self._question(annotator, id)
                first = first or id
        return self._question(annotator, first) if first else None

    def question(self, annotator: str, example_id: str) -> Question:
        """Raises DataError for an example that nobody is asked about."""
        self.refresh()
        if example_id not in self._shown:
            raise DataError(f"There is nothing to compare on example {example_id!r:.80}. Load the page again.")
        return self._question(annotator, example_id)

    def shown(self, example_id: str) -> tuple[Shown, ...]:
        """The unequal answers to an example that is asked about."""
        return self._shown[example_id]

    def standing(self, annotator: str) -> Standing:
        self.refresh()
        mine = self._standing.get(annotator, {})
        last = next((id for id in reversed(mine) if self._ours(mine[id])), None)
        return Standing(len(self._done.get(annotator, ())), len(self._shown), last)

    def answer(
        self,
        annotator: str,
        example_id: str,
        id: str,
        scores: Sequence[float],
        note: str = "",
        seconds: float | None = None,
    ) -> Preference:
        """Store the scores of the answers in the order in which they were shown; sent again, it is the same preference.

        Raises DataError for scores that do not fit, StaleDecision where the question `id` is no longer asked.
        """
        question = self.question(annotator, example_id)
        if id != question.id or example_id in self._done.get(annotator, ()):
            return self._repeated(annotator, id, example_id, scores)
        if len(note) > LONGEST_NOTE:
            raise DataError(f"The note has {len(note)} characters, at most {LONGEST_NOTE} fit. Shorten it.")
        scored = list(zip(question.answers, self._checked(scores, len(question.answers)), strict=True))
        one = Preference(
            id=id,
            example_id=example_id,
            annotator=annotator,
            kind=self.kind,
            answers=tuple(answer for shown, _ in scored for answer in shown.given),
            scores=tuple(score for shown, score in scored for _ in shown.given),
            note=note.strip() or None,
            seconds=seconds,
            created=now(),
        )
        if not self.project.store.preferences.add(one):
            self.refresh(again=True)
            return self._repeated(annotator, id, example_id, scores)
        return one

    def undo(self, annotator: str, id: str) -> str:
        """Take back the annotator's preference `id`; what is taken back already stays so. Returns the example's id."""
        self.refresh()
        one = self._stored.get(id)
        if one is None or one.annotator != annotator:
            raise DataError(f"{annotator} made no comparison {id!r:.80} that could be taken back. Load the page again.")
        self.project.store.preferences.add(
            Preference(id=digest(["undo", id]), example_id=one.example_id, annotator=annotator, kind="undo", undoes=id)
        )
        return one.example_id

    def _take(self, one: Preference) -> None:
        if one.id in self._stored:
            return
        self._stored[one.id] = one
        mine = self._standing.setdefault(one.annotator, {})
        if one.kind == "undo":
            self._withdrawn.add(one.undoes or "")
        else:
            mine[one.id] = one
        if (about := one.undoes or one.id) in self._withdrawn and about in mine:
            asked = _key_of(mine.pop(about))
            self._undone[asked] = self._undone.get(asked, 0) + 1
        if one.example_id in self._shown:
            done = self._done.setdefault(one.annotator, set())
            said = [other for other in mine.values() if other.example_id == one.example_id]
            (done.add if self._answered(one.example_id, said) else done.discard)(one.example_id)

    def _answered(self, example_id: str, about: Sequence[Preference]) -> bool:
        asked = {canonical_json(shown.value) for shown in self._shown[example_id]}
        if self.kind == "pair":
            said = [{canonical_json(two.a.value), canonical_json(two.b.value)} for one in about for two in pairs(one)]
            return asked in said
        ranked = [{canonical_json(answer.value) for answer in one.answers} for one in about if one.kind == "ranking"]
        return any(asked <= said for said in ranked)

    def _ours(self, one: Preference) -> bool:
        return one.kind == self.kind and one.example_id in self._shown and self._answered(one.example_id, [one])

    def _question(self, annotator: str, example_id: str) -> Question:
        def place(shown: Shown) -> str:
            return digest([example_id, annotator, canonical_json(shown.value)])

        answers = tuple(sorted(self._shown[example_id], key=place))
        asked = _asked(annotator, example_id, self.kind, [shown.value for shown in answers])
        example = self.project.store.examples.pick([example_id])[example_id]
        return Question(digest([asked, self._undone.get(asked, 0)]), example, annotator, answers)

    def _checked(self, scores: Sequence[float], count: int) -> tuple[float, ...]:
        fit = len(scores) == count and all(score in SCORES[self.kind] for score in scores)
        if fit and (self.kind == "ranking" or sum(scores) == 1):
            return tuple(map(float, scores))
        wanted = "1, 0 or a tie" if self.kind == "pair" else f"a whole number from 1 to {MOST} each"
        raise DataError(f"{list(scores)} are no scores of {count} answers. Give {wanted}.")

    def _repeated(self, annotator: str, id: str, example_id: str, scores: Sequence[float]) -> Preference:
        """What is stored under `id`, if it says the same."""
        stored = self._standing.get(annotator, {}).get(id)
        if stored and stored.scores == tuple(
            score
            for shown, score in zip(self._question(annotator, example_id).answers, scores, strict=False)
            for _ in shown.given
        ):
            return stored
        raise StaleDecision(
            "These answers were compared elsewhere, or have changed, since this page was opened. Nothing was stored; load the "
            "page again to see what is asked now."
        )


def _candidates(project: Project, names: Sequence[str], kind: Kind) -> list[Candidate]:
    if len(set(names)) != len(names):
        raise UsageError(f"A candidate cannot be compared with itself. Name each once, found: {' '.join(names)}.")
    if kind == "pair" and len(names) != 2:
        raise UsageError(f"Name two candidates to compare, found {len(names)}. Several are ranked with --rank.")
    if not 2 <= len(names) <= MOST_ANSWERS:
        raise UsageError(f"Name 2 to {MOST_ANSWERS} candidates to rank, found {len(names)}.")
    return [candidate(project, name) for name in names]


def _given(project: Project, candidates: Sequence[Candidate], split: Split) -> dict[str, tuple[Answer | None, ...]]:
    """What each candidate answered (None: it failed) to the examples that all have answered."""
    ids = [example.id for example in project.store.examples.read(split)]
    found: dict[str, tuple[Answer | None, ...]] = dict.fromkeys(ids, ())
    for one in candidates:
        fingerprint = one.fingerprint(project)
        stored = project.store.predictions.read(fingerprint, list(found))
        found = {
            id: (*found[id], None if said.value is None else Answer(one.name, said.value, fingerprint))
            for id, said in stored.items()
        }
    return found


def _distinct(answers: Sequence[Answer | None]) -> tuple[Shown, ...]:
    """The unequal answers; () where fewer than two are."""
    groups: dict[str, list[Answer]] = {}
    for answer in answers:
        if answer is not None:
            groups.setdefault(canonical_json(answer.value), []).append(answer)
    return tuple(Shown(same[0].value, tuple(same)) for same in groups.values()) if len(groups) > 1 else ()


def _asked(annotator: str, example_id: str, kind: str, values: Sequence[Value]) -> str:
    """The same for the same unequal answers in whatever order."""
    return digest([annotator, example_id, kind, sorted({canonical_json(value) for value in values})])


def _key_of(one: Preference) -> str:
    return _asked(one.annotator, one.example_id, one.kind, [answer.value for answer in one.answers])


def _nothing(names: Sequence[str], split: Split, answered: int) -> str:
    if answered:
        return f"{' and '.join(names)} answer all {answered} examples of {split!r} alike, or fail: nothing is to be compared."
    return (
        f"No example of {split!r} has stored answers of all of {', '.join(names)}. Get them with: "
        f"tutelage evaluate {' '.join(names)} --split {split} --unlabelled"
    )
