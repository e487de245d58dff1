"""Pairwise judging: which of two answers is better, asked in both orders.

After Zheng et al. 2023, "Judging LLM-as-a-Judge with MT-Bench and Chatbot Arena": judges favour a position, so each pair
is judged twice with the answers swapped, and an answer wins only when it wins both times; anything else is a tie.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from tutelage.evaluation.estimates import Estimate
from tutelage.evaluation.intervals import estimate
from tutelage.evaluation.judge.asking import Judgements
from tutelage.evaluation.metrics import Mean
from tutelage.types import Input

Winner: TypeAlias = Literal["a", "b", "tie"]
Rule: TypeAlias = Literal["agree", "surer"]
"""What decides when the two orders contradict each other: nothing (a tie), or the one said with more confidence."""


class Pair(NamedTuple):
    """Two answers to one input, as text; `task` is what the project's task is, empty where the input says it all."""

    task: str
    input: str
    a: str
    b: str

    def question(self, *, swapped: bool) -> Input:
        """What a pairwise judge is asked: with `swapped`, B is shown first."""
        first, second = (self.b, self.a) if swapped else (self.a, self.b)
        return {"task": self.task, "input": self.input, "answer_1": first, "answer_2": second}

    @property
    def questions(self) -> tuple[Input, Input]:
        return self.question(swapped=False), self.question(swapped=True)


class Verdict(NamedTuple):
    """`first` was said with A shown first, `second` with B shown first: "1", "2", "tie", None where the judge failed.

    `margin` is how much more confidence `first` was said with than `second`, 0 where a confidence is not known.
    """

    first: str | None
    second: str | None
    margin: float = 0.0

    def outcome(self, rule: Rule) -> Winner | None:
        return self.winner if rule == "agree" else self.surer

    @property
    def surer(self) -> Winner | None:
        """As `winner`, but where the two orders contradict each other the one said with more confidence counts."""
        if self.winner != "tie" or not self.margin:
            return self.winner
        said, a = (self.first, "1") if self.margin > 0 else (self.second, "2")
        return "tie" if said == "tie" else "a" if said == a else "b"

    @property
    def winner(self) -> Winner | None:
        """A or B when it won both times, None when either time failed, else a tie."""
        if self.first is None or self.second is None:
            return None
        return {("1", "2"): "a", ("2", "1"): "b"}.get((self.first, self.second), "tie")  # type: ignore[return-value]

    @property
    def followed(self) -> str | None:
        """The position, "1" or "2", that won both times, whichever answer stood there."""
        return self.first if self.first == self.second and self.first in ("1", "2") else None


def verdict(pair: Pair, said: Judgements) -> Verdict:
    first, second = pair.questions
    sure = [said.confidence(question) for question in (first, second)]
    margin = 0.0 if sure[0] is None or sure[1] is None else sure[0] - sure[1]
    return Verdict(said.of(first), said.of(second), margin)


@dataclass(frozen=True)
class Positions:
    """How far the order of the answers decided, over the `n` pairs that were judged both times.

    `bias` is the share of pairs in which the same position won both times (`first` of them the first one), `consistent`
    the share in which both orders gave the same result, ties included.
    """

    n: int
    bias: Estimate
    first: int
    second: int
    consistent: Estimate


def positions(verdicts: Sequence[Verdict]) -> Positions | None:
    """None when no pair was judged both times."""
    both = [verdict for verdict in verdicts if verdict.winner is not None]
    if not both:
        return None
    followed = [verdict.followed for verdict in both]
    same = [verdict.winner != "tie" or verdict.first == verdict.second == "tie" for verdict in both]
    return Positions(
        len(both), share([one is not None for one in followed]), followed.count("1"), followed.count("2"), share(same)
    )


def share(true: Sequence[bool]) -> Estimate:
    """The share of `true` (at least one) with its interval."""
    return estimate(Mean(np.array(true, dtype=np.float64)), len(true))
