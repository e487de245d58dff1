"""How far annotators agree beyond chance, on the examples that several of them answered.

- Cohen's kappa (1960) of two: their observed agreement beside what their own habits would give by chance.
- Fleiss' kappa (1971) of any number of annotators, whoever they are. Each example is weighted by its pairs of answers, so that
  examples with different numbers of answers can stand together; where the numbers are equal this is Fleiss' formula.
- Krippendorff's alpha (2011, "Computing Krippendorff's alpha-reliability") of any number, with a distance between answers: 0 or 1
  for labels and texts; for sets of strings or labels MASI (Passonneau 2006), which counts a part of a set as half right; for
  records the share of fields that differ. Chance is what all answers, shuffled, would give.

The kappas take answers as equal or not; alpha sees how different they are. A blind second answer (`[review] double`) is the one
to measure by: who was shown a suggestion tends to accept it. Intervals are bootstrapped over examples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tutelage.errors import AnswerError
from tutelage.evaluation.estimates import Estimate
from tutelage.evaluation.intervals import proportion
from tutelage.evaluation.metrics import Floats, Statistic
from tutelage.project import Project
from tutelage.review.outcome import answer_key
from tutelage.store.decisions import Decision, standing
from tutelage.tasks import Task
from tutelage.tasks.matching import normal
from tutelage.types import Split, Value, canonical_json

Answers: TypeAlias = Mapping[str, Mapping[str, Value]]
"""Example -> annotator -> answer."""
Distance: TypeAlias = Callable[[Value, Value], float]
"""Of two answers, in [0, 1]; 0 of equal ones."""

RESAMPLES = 1000
EPSILON = 1e-12


@dataclass(frozen=True, slots=True)
class Pair:
    """Two annotators on the `n` examples that both answered. `kappa` is None where chance alone would always agree."""

    a: str
    b: str
    n: int
    agreement: Estimate
    kappa: Estimate | None


@dataclass(frozen=True, slots=True)
class Agreement:
    """`n` examples were answered by several. `agreement` is the share of pairs of answers to the same example that are equal.
    `blind`: only answers were taken before which nothing was suggested."""

    n: int
    annotators: tuple[str, ...]
    blind: bool
    distance: str
    agreement: Estimate | None
    fleiss: Estimate | None
    alpha: Estimate | None
    pairs: tuple[Pair, ...]


def agreement(project: Project, split: Split) -> Agreement:
    """Of the blind answers to the examples of `split`; where there are none, of all answers of several annotators."""
    made = project.store.decisions.of(project.store.examples.ids(split))
    stands = [one for decisions in made.values() for one in standing(decisions)]
    given = [one for one in stands if one.value is not None and one.verdict in ("accept", "edit")]
    blind = several(one for one in given if one.purpose == "double" and one.suggestion is None)
    if blind:
        return measured(project.task, blind, blind=True)
    return measured(project.task, several(one for one in given if one.purpose != "conflict"))


def several(decisions: Iterable[Decision]) -> dict[str, dict[str, Value]]:
    """The answers to examples that at least two annotators answered, of each the newest."""
    found: dict[str, dict[str, Value]] = {}
    for one in decisions:
        if one.value is not None:
            found.setdefault(one.example_id, {})[one.annotator] = one.value
    return {id: answers for id, answers in found.items() if len(answers) > 1}


def measured(task: Task, answers: Answers, blind: bool = False) -> Agreement:
    """All figures of these answers, each example with at least two."""
    name, distance = distance_of(task)
    people = tuple(sorted({who for said in answers.values() for who in said}))
    if not answers:
        return Agreement(0, people, blind, name, None, None, None, ())
    keys = [{who: answer_key(task, value) for who, value in said.items()} for said in answers.values()]
    codes = {key: at for at, key in enumerate(sorted({key for said in keys for key in said.values()}))}
    counts = np.zeros((len(keys), len(codes)))
    for row, said in enumerate(keys):
        for key in said.values():
            counts[row, codes[key]] += 1
    samples = {
        key: value for said, one in zip(answers.values(), keys, strict=True) for key, value in pairs_of(said, one)
    }
    table = np.array([[distance(samples[a], samples[b]) for b in codes] for a in codes])
    return Agreement(
        len(keys),
        people,
        blind,
        name,
        bootstrapped(_Observed(counts), len(keys), low=0.0),
        bootstrapped(Fleiss(counts), len(keys)),
        bootstrapped(Alpha(counts, table), len(keys)),
        tuple(_pairs(keys, people)),
    )


def pairs_of(said: Mapping[str, Value], keys: Mapping[str, str]) -> list[tuple[str, Value]]:
    return [(keys[who], value) for who, value in said.items()]


def _pairs(keys: Sequence[Mapping[str, str]], people: Sequence[str]) -> list[Pair]:
    found = []
    for a, b in combinations(people, 2):
        both = [(said[a], said[b]) for said in keys if a in said and b in said]
        if both:
            codes = {key: at for at, key in enumerate(sorted({key for pair in both for key in pair}))}
            ours, theirs = (np.array([codes[pair[side]] for pair in both]) for side in (0, 1))
            same = np.array([pair[0] == pair[1] for pair in both], dtype=float)
            share = bootstrapped(lambda draws, same=same: same[draws].mean(axis=-1), len(both), low=0.0)
            assert share is not None  # a mean is always defined
            kappa = bootstrapped(Cohen(ours, theirs, len(codes)), len(both))
            found.append(Pair(a, b, len(both), share, kappa))
    return found


@dataclass(frozen=True)
class Cohen:
    """Cohen's kappa of two annotators' codes, shape (n,) each; not a number where chance alone would always agree."""

    ours: NDArray[np.int64]
    theirs: NDArray[np.int64]
    codes: int

    def __call__(self, draws: NDArray[np.int64]) -> Floats:
        observed = (self.ours == self.theirs)[draws].mean(axis=-1)
        chance = np.zeros(len(draws))
        for code in range(self.codes):
            chance += (self.ours == code)[draws].mean(axis=-1) * (self.theirs == code)[draws].mean(axis=-1)
        return _beyond(observed, chance)


@dataclass(frozen=True)
class _Observed:
    """The share of pairs of answers to the same example that are equal; `counts` (n, answers)."""

    counts: Floats

    def __call__(self, draws: NDArray[np.int64]) -> Floats:
        answers = self.counts.sum(axis=1)
        equal = (self.counts * (self.counts - 1)).sum(axis=1)
        return np.asarray(equal[draws].sum(axis=-1) / (answers * (answers - 1))[draws].sum(axis=-1))


@dataclass(frozen=True)
class Fleiss:
    """Fleiss' kappa; `counts` (n, answers): how many annotators gave each example each answer."""

    counts: Floats

    def __call__(self, draws: NDArray[np.int64]) -> Floats:
        whole = _drawn(self.counts, draws)
        share = whole / whole.sum(axis=1, keepdims=True)
        return _beyond(_Observed(self.counts)(draws), (share**2).sum(axis=1))


@dataclass(frozen=True)
class Alpha:
    """Krippendorff's alpha; `distances` (answers, answers) in [0, 1], 0 on the diagonal."""

    counts: Floats
    distances: Floats

    def __call__(self, draws: NDArray[np.int64]) -> Floats:
        answers = self.counts.sum(axis=1)
        apart = np.einsum("ni,ij,nj->n", self.counts, self.distances, self.counts, optimize=True) / (answers - 1)
        total = answers[draws].sum(axis=-1)
        whole = _drawn(self.counts, draws)
        expected = ((whole @ self.distances) * whole).sum(axis=1) / (total - 1)
        found = np.full(len(draws), np.nan)
        known = expected > EPSILON
        found[known] = 1 - apart[draws].sum(axis=-1)[known] / expected[known]
        return found


def _drawn(counts: Floats, draws: NDArray[np.int64]) -> Floats:
    """How often each answer was given in each resample, (resamples, answers)."""
    times = np.stack([np.bincount(draw, minlength=len(counts)) for draw in draws])
    return np.asarray(times @ counts)


def _beyond(observed: Floats, chance: Floats) -> Floats:
    """Agreement beyond chance; not a number where there is no room for any."""
    room = 1 - chance
    return np.divide(observed - chance, room, out=np.full_like(room, np.nan), where=room > EPSILON)


def bootstrapped(statistic: Statistic | Callable[..., Floats], n: int, low: float = -1.0) -> Estimate | None:
    """The statistic on all n examples with its 95 % percentile interval over examples; None where it is not defined.

    Resamples in which it is not defined are left out. Where no resample differs (all agree) the bootstrap would claim certainty;
    there the interval is Clopper and Pearson's, stretched to what is possible, which for a single example is nearly all.
    """
    value = float(statistic(np.arange(n)[None, :])[0])
    if np.isnan(value):
        return None
    draws = np.random.default_rng(0).integers(0, n, (RESAMPLES, n))
    found = np.concatenate([statistic(part) for part in np.array_split(draws, max(1, n * RESAMPLES // 1_000_000))])
    found = found[~np.isnan(found)]
    if not len(found) or np.ptp(found) < EPSILON:
        sure = proportion((value - low) / (1 - low) * n, n)
        return Estimate(value, low + (1 - low) * sure.low, low + (1 - low) * sure.high)
    ends = np.quantile(found, [0.025, 0.975])
    return Estimate(value, min(float(ends[0]), value), max(float(ends[1]), value))


def distance_of(task: Task) -> tuple[str, Distance]:
    """The distance between answers of this task, with its name."""
    if task.output in ("strings", "labels"):
        return "MASI", masi
    if task.output == "record":
        return "share of fields that differ", lambda a, b: fields_apart(task, a, b)
    return "nominal", lambda a, b: float(answer_key(task, a) != answer_key(task, b))


def masi(a: Value, b: Value) -> float:
    """1 - Jaccard x monotonicity, which is 1 for equal sets, 2/3 where one holds the other, 1/3 where they overlap, else 0."""
    ours, theirs = ({normal(one) for one in side} for side in (a, b))
    if ours == theirs:
        return 0.0
    shared = len(ours & theirs)
    monotone = 2 / 3 if ours <= theirs or theirs <= ours else 1 / 3 if shared else 0.0
    return 1 - shared / len(ours | theirs) * monotone


def fields_apart(task: Task, a: Value, b: Value) -> float:
    """The share of a record's fields that differ."""
    try:
        ours, theirs = task.canonical(a), task.canonical(b)
    except AnswerError:
        ours, theirs = a, b
    if not isinstance(ours, dict) or not isinstance(theirs, dict):
        return float(canonical_json(ours) != canonical_json(theirs))
    names = ours.keys() | theirs.keys()
    apart = sum(canonical_json(ours.get(name)) != canonical_json(theirs.get(name)) for name in names)
    return apart / len(names) if names else 0.0
