"""What people's comparisons say so far: who compared how much, who was preferred, how far annotators agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from tutelage.evaluation.estimates import Estimate
from tutelage.evaluation.intervals import estimate
from tutelage.evaluation.judge.pairwise import Winner
from tutelage.evaluation.metrics import Mean
from tutelage.evaluation.preference.people import FLIPPED, Compared, compared
from tutelage.review.agreement import measured
from tutelage.review.preferring import Preferring
from tutelage.tasks.label import LabelTask
from tutelage.types import Value, canonical_json, digest

WORTH: dict[Winner, float] = {"a": 1.0, "tie": 0.5, "b": 0.0}
VERDICTS = LabelTask("preference", ("text",), "", labels=("a", "b", "tie"))
"""A verdict as a label, so that agreement is measured as that of labels is."""


@dataclass(frozen=True)
class Rivals:
    """`a` against `b`, as people saw them: comparisons won, tied and lost on `n` examples. `win_rate` of `a`: ties count half,
    several annotators of one example together once; the interval is by bootstrap over examples."""

    a: str
    b: str
    n: int
    wins: int
    ties: int
    losses: int
    win_rate: Estimate


@dataclass(frozen=True)
class Alike:
    """On `n` examples that several annotators compared: the `share` of pairs of annotators that said the same of the same two
    answers, and Krippendorff's `alpha`, in which a tie is a third verdict. Of an example's several pairs of answers it takes one;
    which answer is its first is drawn by hash, as nobody knew whose it was."""

    n: int
    share: Estimate
    alpha: Estimate | None


@dataclass(frozen=True)
class PreferenceSummary:
    """Of `answered` examples that all candidates answered, `asked` have unequal answers to compare."""

    candidates: tuple[str, ...]
    split: str
    answered: int
    asked: int
    comparisons: int
    annotators: Mapping[str, int]
    rivals: tuple[Rivals, ...]
    alike: Alike | None


def summary(desk: Preferring) -> PreferenceSummary:
    """What is stored about the answers that these candidates give now, whichever page it was said on."""
    asked = set(desk.ids)
    stored = [one for one in compared(desk.project.store.preferences.stand()) if one.preference.example_id in asked]
    given = {id: {canonical_json(shown.value) for shown in desk.shown(id)} for id in desk.ids}
    known = [
        one
        for one in stored
        if set(map(canonical_json, (one.a.value, one.b.value))) <= given[one.preference.example_id]
    ]
    annotators: dict[str, int] = {}
    for one in known:
        annotators[one.preference.annotator] = annotators.get(one.preference.annotator, 0) + 1
    answers = {
        id: {answer.candidate: canonical_json(answer.value) for shown in desk.shown(id) for answer in shown.given}
        for id in desk.ids
    }
    rivals = [found for a, b in combinations(desk.names, 2) if (found := _rivals(answers, known, a, b))]
    return PreferenceSummary(
        desk.names, desk.split, desk.answered, len(desk.ids), len(known), annotators, tuple(rivals), _alike(known)
    )


def _rivals(answers: Mapping[str, Mapping[str, str]], known: Sequence[Compared], a: str, b: str) -> Rivals | None:
    """A verdict on two answers counts for all candidates that gave them; `answers` are those of each example, as JSON."""
    by_example: dict[str, list[Winner]] = {}
    for one in known:
        mine = answers[one.preference.example_id]
        said = canonical_json(one.a.value), canonical_json(one.b.value)
        if said == (mine.get(a), mine.get(b)):
            by_example.setdefault(one.preference.example_id, []).append(one.winner)
        elif said == (mine.get(b), mine.get(a)):
            by_example.setdefault(one.preference.example_id, []).append(FLIPPED[one.winner])
    if not by_example:
        return None
    worth = np.array([np.mean([WORTH[word] for word in words]) for words in by_example.values()])
    words = [word for some in by_example.values() for word in some]
    rate = estimate(Mean(worth), len(worth))
    return Rivals(a, b, len(worth), words.count("a"), words.count("tie"), words.count("b"), rate)


def _alike(known: Sequence[Compared]) -> Alike | None:
    """None where no two annotators compared the same."""
    words: dict[str, dict[tuple[str, str], dict[str, Winner]]] = {}
    for one in known:
        a, b = (digest([one.preference.example_id, answer.value]) for answer in (one.a, one.b))
        said = words.setdefault(one.preference.example_id, {}).setdefault((min(a, b), max(a, b)), {})
        said[one.preference.annotator] = one.winner if a <= b else FLIPPED[one.winner]
    shares, first = list[float](), dict[str, dict[str, Value]]()
    for id, by_pair in words.items():
        several = [list(said.values()) for said in by_pair.values() if len(said) > 1]
        if several:
            shares.append(float(np.mean([x == y for some in several for x, y in combinations(some, 2)])))
            first[id] = dict(next(said for _, said in sorted(by_pair.items()) if len(said) > 1))
    if not shares:
        return None
    return Alike(len(shares), estimate(Mean(np.array(shares)), len(shares)), measured(VERDICTS, first).alpha)
