"""The false-promise check: does more of a teacher's data help on gold, or only agreement with the teacher?

Gudibande et al. 2023, "The False Promise of Imitating Proprietary LLMs": students that imitate come to sound like their
teacher without getting better at the task.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tutelage.evaluation.curve.scores import Scores
from tutelage.evaluation.estimates import Estimate
from tutelage.evaluation.metrics import Floats

FEWEST = 3
"""Sizes that a trend is read from at least."""


@dataclass(frozen=True)
class Promise:
    """Trends over the larger sizes, from `first` to `last`: what each doubling of the examples adds to the score on gold, to
    agreement with the teacher, and to the second minus the first. `verdict` is "helps", "helps agreement more",
    "false promise", "harms", "unclear" or "nothing"; `text` says it in one sentence."""

    first: int
    last: int
    gold: Estimate
    agreement: Estimate
    difference: Estimate
    n: int
    verdict: str
    text: str

    def json(self) -> dict[str, Any]:
        return asdict(self)


def promise(gold: Scores, agreement: Scores, apart: Scores, n: int) -> Promise | None:
    """The check over the larger half of the sizes, three at least; None where there are fewer. `apart` is the second minus
    the first."""
    if len(gold.sizes) < FEWEST:
        return None
    kept = slice(-max(FEWEST, (len(gold.sizes) + 1) // 2), None)
    sizes = gold.sizes[kept]
    told, same, more = (slopes(sizes, one.means[kept], one.draws[kept]) for one in (gold, agreement, apart))
    verdict = _verdict(told, same, more)
    first, last = int(sizes[0]), int(sizes[-1])
    text = _text(verdict, told, same, f"from {first:,} to {last:,} examples", n)
    return Promise(first, last, told, same, more, n, verdict, text)


def slopes(sizes: Floats, means: Floats, draws: Floats) -> Estimate:
    """What each doubling of the size adds, by least squares, with its 95 % interval over the resamples."""
    doublings = np.log2(sizes) - np.log2(sizes).mean()
    weights = doublings / (doublings**2).sum()
    value = float(weights @ means)
    low, high = np.quantile(weights @ draws, [0.025, 0.975])
    return Estimate(value, float(min(low, value)), float(max(high, value)))


def _verdict(gold: Estimate, agreement: Estimate, apart: Estimate) -> str:
    if gold.high < 0:
        return "harms"
    if gold.low > 0:
        return "helps agreement more" if apart.low > 0 else "helps"
    if agreement.low > 0:
        return "false promise" if apart.low > 0 else "unclear"
    return "nothing"


def _text(verdict: str, gold: Estimate, agreement: Estimate, where: str, n: int) -> str:
    on, with_it = f"the score on gold by {_signed(gold)}", f"agreement with the teacher by {_signed(agreement)}"
    both = f"each doubling of the teacher's labels, {where}, changes {on} and {with_it}, on {n:,} examples"
    said = {
        "helps": "More of the teacher's labels help on gold",
        "helps agreement more": "More of the teacher's labels help on gold, but agreement with the teacher grows faster: "
        "the student learns its mistakes as well",
        "false promise": "False promise: more of the teacher's labels bring the student nearer to the teacher, not to gold",
        "harms": "More of the teacher's labels make the student worse on gold",
        "unclear": "Agreement with the teacher rises; whether the score on gold does cannot be told from so few examples",
        "nothing": "More of the teacher's labels change neither the score on gold nor agreement beyond chance",
    }
    return f"{said[verdict]} ({both})."


def _signed(estimate: Estimate) -> str:
    return f"{estimate.value:+.3f} ({estimate.low:+.3f} to {estimate.high:+.3f})"
