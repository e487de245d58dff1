"""Successive halving (Jamieson & Talwalkar 2016): all on few examples, the better half on twice as many, and so on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tutelage.errors import TrainingError

FIRST = 4
"""Examples that everybody gets in the first round at least, where there are as many."""


class Round(NamedTuple):
    """How many prompts are asked, and about how many examples each in all; those of the rounds before are among them."""

    prompts: int
    examples: int


def plan(prompts: int, examples: int, calls: int) -> list[Round]:
    """The rounds that `calls` answers allow, one prompt (the hand-written one) being kept through all of them.

    The first round is as long as lets the halving come to its end, a single challenger; what is left then goes into
    that last round. With fewer calls it ends early. Raises TrainingError where not even the first round can be paid.
    """
    least = min(FIRST, examples)
    if calls < prompts * least:
        raise TrainingError(
            f"calls leaves {max(calls, 0)} for answers, too few: {prompts} prompts on {least} examples of dev take "
            f"{prompts * least}. Raise calls, or try fewer instructions, proposals, shots or selectors."
        )
    sizes = _sizes(prompts)
    first = least
    while first < examples and _calls(sizes, first + 1, examples) <= calls:
        first += 1
    return _rounds(sizes, first, examples, calls)


def _sizes(prompts: int) -> list[int]:
    """Prompts in each round: half of the challengers at a time, down to one, and the one that is kept."""
    sizes = [prompts]
    while sizes[-1] > 2:
        sizes.append(1 + sizes[-1] // 2)
    return sizes


def _calls(sizes: Sequence[int], first: int, examples: int) -> int:
    total = have = 0
    for number, size in enumerate(sizes):
        wanted = min(examples, first * 2**number)
        total, have = total + size * (wanted - have), wanted
    return total


def _rounds(sizes: Sequence[int], first: int, examples: int, calls: int) -> list[Round]:
    rounds: list[Round] = []
    have, left = 0, calls
    for number, size in enumerate(sizes):
        wanted = examples if number == len(sizes) - 1 else min(examples, first * 2**number)
        reached = min(wanted, have + left // size)
        if reached == have:
            break
        rounds.append(Round(size, reached))
        left -= size * (reached - have)
        have = reached
    return rounds
