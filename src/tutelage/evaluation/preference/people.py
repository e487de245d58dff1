"""People's comparisons of candidates' answers that the store keeps: as pairs, and as matches between candidates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple, TypeAlias

from tutelage.errors import DataError
from tutelage.evaluation.candidates import candidate
from tutelage.evaluation.judge.judges import shown
from tutelage.evaluation.judge.pairwise import Pair, Winner
from tutelage.evaluation.judge.votes import Vote, Votes
from tutelage.evaluation.preference.matches import Match, Matches
from tutelage.project import Project
from tutelage.store import Answer, Preference
from tutelage.types import Example, Prediction, Split, Value, canonical_json

FLIPPED: Mapping[Winner, Winner] = {"a": "b", "b": "a", "tie": "tie"}


class Compared(NamedTuple):
    """Two answers to an example and what an annotator said of them."""

    preference: Preference
    a: Answer
    b: Answer
    winner: Winner

    @property
    def better(self) -> Answer:
        return self.b if self.winner == "b" else self.a

    @property
    def worse(self) -> Answer:
        return self.a if self.winner == "b" else self.b


def pairs(preference: Preference) -> list[Compared]:
    """Each two of its answers: k of them give k (k - 1) / 2 pairs. The higher score wins, equal ones tie."""
    scored = list(zip(preference.answers, preference.scores, strict=True))
    return [
        Compared(preference, a, b, "a" if ours > theirs else "b" if theirs > ours else "tie")
        for (a, ours), (b, theirs) in combinations(scored, 2)
    ]


def compared(preferences: Iterable[Preference]) -> list[Compared]:
    """The pairs of unequal answers, oldest first; of the same two to one example an annotator's newest word alone."""
    found: dict[tuple[str, str, frozenset[str]], Compared] = {}
    for one in preferences:
        for pair in pairs(one):
            if pair.a.value == pair.b.value:
                continue
            key = one.annotator, one.example_id, _key(pair.a.value, pair.b.value)
            found.pop(key, None)
            found[key] = pair
    return list(found.values())


Said: TypeAlias = dict[str, dict[str, dict[tuple[str, str], Winner]]]
"""Of each example by each annotator, of two answers (as JSON) which is better, both ways round."""


def from_people(project: Project, split: Split, names: Sequence[str] = ()) -> Matches:
    """What annotators said of the answers that the candidates give now; nobody is asked.

    As of a judge's verdicts: a comparison holds for all candidates that gave the same two answers, equal answers tie and a failed
    one loses, as far as the annotator came in the order of the pages. Raises DataError when there is no comparison, UnknownName.
    """
    chosen = [candidate(project, one) for one in names or list(project.file.candidates)]
    examples = {one.id: one for one in project.store.examples.read(split)}
    stored = [one for one in compared(project.store.preferences.stand()) if one.preference.example_id in examples]
    given = {one.name: project.store.predictions.read(one.fingerprint(project), list(examples)) for one in chosen}
    said, matches, used = _said(stored), list[Match](), set[tuple[str, frozenset[str]]]()
    for a, b in combinations(given, 2):
        walk = [(id, given[a][id], given[b][id]) for id in sorted(given[a].keys() & given[b].keys())]
        used |= {(id, _key(ours.value, theirs.value)) for id, ours, theirs in walk}
        for annotator in said:
            for id, winner in _walked(walk, said[annotator]):
                matches.append(Match(project.task.input_text(examples[id].input), a, b, winner))
    if not matches:
        two = " ".join(given) if len(given) == 2 else "A B"
        raise DataError(
            f"No comparison by people of what these candidates answer now is stored for {split!r}. Make some with: "
            f"tutelage prefer {two} --split {split}"
        )
    people = f"{len(said)} {'person' if len(said) == 1 else 'people'}"
    old = sum((one.preference.example_id, _key(one.a.value, one.b.value)) not in used for one in stored)
    absent = (f"{old} comparisons of answers that none of these candidates gives now",) if old else ()
    return Matches(f"{people} who compared answers on {split}", tuple(matches), absent=absent)


def _said(stored: Sequence[Compared]) -> Said:
    """By annotator, then by example."""
    found: Said = {}
    for one in stored:
        a, b = canonical_json(one.a.value), canonical_json(one.b.value)
        words = found.setdefault(one.preference.annotator, {}).setdefault(one.preference.example_id, {})
        words[a, b], words[b, a] = one.winner, FLIPPED[one.winner]
    return found


def _key(a: Value | None, b: Value | None) -> frozenset[str]:
    """The same for two answers in either order."""
    return frozenset((canonical_json(a), canonical_json(b)))


def _walked(
    walk: Sequence[tuple[str, Prediction, Prediction]], said: Mapping[str, Mapping[tuple[str, str], Winner]]
) -> Iterator[tuple[str, Winner]]:
    """What one annotator said, and what needed no word, up to the last example that the annotator spoke of."""
    outcomes, last = list[tuple[str, Winner]](), 0
    for id, ours, theirs in walk:
        if winner := decided(ours.value, theirs.value):
            outcomes.append((id, winner))
        elif winner := said.get(id, {}).get((canonical_json(ours.value), canonical_json(theirs.value))):
            outcomes.append((id, winner))
            last = len(outcomes)
    yield from outcomes[:last]


def decided(a: Value | None, b: Value | None) -> Winner | None:
    """The outcome that nobody need be asked for: equal answers tie, a failed one loses."""
    return "tie" if a == b else "b" if a is None else "a" if b is None else None


def people_votes(project: Project, split: Split) -> Votes:
    """People's comparisons as votes that a judge is held to: of each two answers to an example, what most annotators said.

    Where no outcome has the most votes, the pair is undecided. Raises DataError when nothing is stored for the split.
    """
    examples = {one.id: one for one in project.store.examples.read(split)}
    cast: dict[tuple[str, frozenset[str]], list[Compared]] = {}
    for one in compared(project.store.preferences.stand()):
        if one.preference.example_id in examples:
            cast.setdefault((one.preference.example_id, _key(one.a.value, one.b.value)), []).append(one)
    votes = [_vote(project, examples[id], said) for (id, _), said in cast.items()]
    decided = tuple(vote for vote in votes if vote)
    if not decided:
        raise DataError(
            f"No comparison by people on {split!r} is stored, or none on which most agree: {len(votes)} pairs of answers. Make "
            f"more with: tutelage prefer A B --split {split}"
        )
    return Votes(decided, len(votes) - len(decided), ())


def _vote(project: Project, example: Example, said: Sequence[Compared]) -> Vote | None:
    """The answers in the order in which the first annotator saw them."""
    a, b = said[0].a.value, said[0].b.value
    words = [one.winner if one.a.value == a else FLIPPED[one.winner] for one in said]
    (label, most), *others = Counter(words).most_common()
    if others and others[0][1] == most:
        return None
    pair = Pair(project.task.instructions, project.task.input_text(example.input), shown(a), shown(b))
    return Vote(pair, label, tuple(words))
