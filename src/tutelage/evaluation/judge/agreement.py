"""How far a judge agrees with people, beside chance and beside judges that read nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tutelage.evaluation.estimates import Estimate
from tutelage.evaluation.intervals import estimate
from tutelage.evaluation.judge.asking import Judgements, Tell, judgements, silent
from tutelage.evaluation.judge.judges import Judge
from tutelage.evaluation.judge.pairwise import Pair, Positions, Verdict, Winner, positions, verdict
from tutelage.evaluation.judge.rubric import Answered, marks, overall
from tutelage.evaluation.judge.votes import Vote
from tutelage.evaluation.metrics import Floats, Mean
from tutelage.project import Project

CODES: dict[Winner | None, int] = {"a": 0, "b": 1, "tie": 2, None: 3}


@dataclass(frozen=True)
class Agreement:
    """One judge against people on the same pairs.

    `all` is the share of pairs with the same outcome, ties being one of three outcomes and a failed verdict wrong;
    `half` the same with 1/2 where just one of both says tie, so that guessing scores 1/2 on any data; `decided` the
    share among the `n_decided` pairs in which both name a winner, None where there is none; `kappa` Cohen's.
    """

    name: str
    all: Estimate
    half: Estimate
    decided: Estimate | None
    n_decided: int
    kappa: Estimate | None
    failed: int = 0


@dataclass(frozen=True)
class Check:
    """A judge and what it is compared with, over `n` votes of people; `people` is how often two of them agree."""

    judge: str
    n: int
    human_ties: int
    rows: tuple[Agreement, ...]
    positions: Positions | None
    people: Estimate | None
    asked: int
    dollars: float | None
    cost_basis: str
    errors: tuple[tuple[str, int], ...] = ()


async def check(project: Project, judge: Judge, votes: Sequence[Vote], tell: Tell = silent) -> Check:
    """Judge the pairs that people voted on (at least one), and compare. Raises ModelError when nobody can be asked."""
    pairs = [vote.pair for vote in votes]
    labels = [vote.label for vote in votes]
    found, beside = None, list[Agreement]()
    if judge.settings.kind == "pairwise":
        asked = [pair for pair in pairs if pair.a != pair.b]
        said = await judgements(project, judge, [q for pair in asked for q in pair.questions], tell)
        verdicts = [Verdict("tie", "tie") if pair.a == pair.b else verdict(pair, said) for pair in pairs]
        found = positions([one for one, pair in zip(verdicts, pairs, strict=True) if pair.a != pair.b])
        rule = judge.settings.swapped
        outcomes = [one.outcome(rule) for one in verdicts]
        other = [one.surer if rule == "agree" else one.winner for one in verdicts]
        if other != outcomes:
            beside.append(agreement("the surer order" if rule == "agree" else "both orders agree", labels, other))
    else:
        criteria = judge.settings.criteria
        alone = [one for pair in pairs for one in _alone(pair)]
        said = await judgements(project, judge, [q for one in alone for q in one.questions(criteria)], tell)
        outcomes = [by_marks(pair, criteria, said) for pair in pairs]
    among = [known for vote in votes if (known := vote.agreement) is not None]
    return Check(
        judge.name,
        len(votes),
        labels.count("tie"),
        (
            agreement(judge.name, labels, outcomes),
            *beside,
            agreement("the longer answer", labels, [longer(pair) for pair in pairs]),
            agreement("always the first", labels, ["a"] * len(pairs)),
            chance(labels),
        ),
        found,
        estimate(Mean(np.array(among)), len(among)) if among else None,
        said.asked,
        said.dollars,
        said.cost.basis,
        said.errors,
    )


def longer(pair: Pair) -> Winner:
    """The verdict of a judge that only counts characters."""
    return "tie" if len(pair.a) == len(pair.b) else "a" if len(pair.a) > len(pair.b) else "b"


def by_marks(pair: Pair, criteria: dict[str, str], said: Judgements) -> Winner | None:
    """The answer with the better marks; a tie when they are equal, None when one is missing."""
    a, b = (overall(list(marks(one, criteria, said).values())) for one in _alone(pair))
    if a is None or b is None:
        return None
    return "tie" if a == b else "a" if a > b else "b"


def _alone(pair: Pair) -> tuple[Answered, Answered]:
    return Answered(pair.task, pair.input, pair.a), Answered(pair.task, pair.input, pair.b)


def agreement(name: str, labels: Sequence[Winner], outcomes: Sequence[Winner | None]) -> Agreement:
    """The figures of one judge. `labels` are people's, `outcomes` the judge's, of the same pairs in the same order."""
    gold = np.array([CODES[label] for label in labels])
    found = np.array([CODES[outcome] for outcome in outcomes])
    same = (gold == found).astype(np.float64)
    one_tie = ((gold == CODES["tie"]) != (found == CODES["tie"])) & (found != CODES[None])
    decided = (gold < CODES["tie"]) & (found < CODES["tie"])
    return Agreement(
        name,
        estimate(Mean(same), len(same)),
        estimate(Mean(np.where(one_tie, 0.5, same)), len(same)),
        estimate(Mean(same[decided]), int(decided.sum())) if decided.any() else None,
        int(decided.sum()),
        cohen(gold, found),
        int((found == CODES[None]).sum()),
    )


def chance(labels: Sequence[Winner]) -> Agreement:
    """What tossing a coin for each pair agrees with people on average: known exactly, so without an interval."""
    all = (1 - labels.count("tie") / len(labels)) / 2
    half, nothing = Estimate(0.5, 0.5, 0.5), Estimate(0.0, 0.0, 0.0)
    return Agreement("chance", Estimate(all, all, all), half, half, len(labels) - labels.count("tie"), nothing)


@dataclass(frozen=True)
class Kappa:
    """Cohen's kappa of two raters' codes, shape (n,) each, brought to [0, 1] as (kappa + 1) / 2 for the bootstrap."""

    gold: NDArray[np.int64]
    found: NDArray[np.int64]

    def __call__(self, draws: NDArray[np.int64]) -> Floats:
        gold, found = self.gold[draws], self.found[draws]
        observed = (gold == found).mean(axis=-1)
        expected = sum((gold == code).mean(axis=-1) * (found == code).mean(axis=-1) for code in CODES.values())
        room = 1 - np.asarray(expected)
        # Both raters gave one and the same answer throughout: nothing to tell them from chance.
        kappa = np.divide(observed - expected, room, out=np.zeros_like(room), where=room > 1e-12)
        return np.asarray((kappa + 1) / 2, dtype=np.float64)


def cohen(gold: NDArray[np.int64], found: NDArray[np.int64]) -> Estimate | None:
    """Cohen's kappa with its interval; None where it is not defined (both always say the same one thing)."""
    answers, labels = set(found.tolist()), set(gold.tolist())
    if len(answers | labels) == 1:
        return None
    if len(answers) == 1 or len(labels) == 1:
        return Estimate(0.0, 0.0, 0.0)  # exactly, whatever the pairs: who never changes his answer agrees by chance
    half = estimate(Kappa(gold, found), len(gold))
    return Estimate(2 * half.value - 1, 2 * half.low - 1, 2 * half.high - 1)
