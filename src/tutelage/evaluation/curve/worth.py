"""What a prompt is worth: the number of examples with which a student reaches the score of a prompted model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import isotonic_regression

from tutelage.evaluation.curve.scores import Scores
from tutelage.evaluation.estimates import Estimate
from tutelage.evaluation.metrics import Floats


@dataclass(frozen=True)
class Worth:
    """Examples with their 95 % interval. -inf stands for fewer than the smallest size measured, inf for more than the
    largest."""

    candidate: str
    score: Estimate
    examples: float
    low: float
    high: float
    smallest: int
    largest: int

    def json(self) -> dict[str, Any]:
        """`reached` is "within", "below" the smallest or "beyond" the largest size measured; ends beyond them are null."""
        reached = "within" if math.isfinite(self.examples) else "below" if self.examples < 0 else "beyond"
        ends = {name: _whole(getattr(self, name)) for name in ("examples", "low", "high")}
        return {"candidate": self.candidate, "score": self.score, "reached": reached, **ends} | {
            "measured": [self.smallest, self.largest]
        }

    def text(self) -> str:
        """One clause, e.g. "worth 130 examples (90 to 210)"."""
        if self.examples == math.inf:
            least = "" if not math.isfinite(self.low) else f" (more than {self.low:,.0f} at 97.5 %)"
            return f"not reached within what was measured, {self.largest:,} examples{least}"
        if self.examples == -math.inf:
            most = "" if not math.isfinite(self.high) else f" (fewer than {self.high:,.0f} at 97.5 %)"
            if self.high == math.inf:
                most = f" (not certain: more than {self.largest:,} is possible)"
            return f"worth fewer than {self.smallest:,} examples{most}"
        low = f"under {self.smallest:,}" if self.low < 0 else f"{self.low:,.0f}"
        high = f"over {self.largest:,}" if self.high == math.inf else f"{self.high:,.0f}"
        return f"worth {self.examples:,.0f} examples ({low} to {high})"


def worth(candidate: str, score: Estimate, resampled: Floats, scores: Scores) -> Worth:
    """Where `scores` cross the `score` of `candidate`, whose scores on the same resamples are `resampled`.

    Between sizes the crossing is read off a line over the logarithm of size, after what falls was levelled (isotonic
    regression): the points alone decide, not the fitted law.
    """
    at = crossing(scores.sizes, scores.means, score.value)
    each = [crossing(scores.sizes, one, goal) for one, goal in zip(scores.draws.T, resampled, strict=True)]
    # Infinite ends: an interpolated quantile would be no number.
    low, high = np.quantile(each, [0.025, 0.975], method="inverted_cdf")
    ends = (int(scores.sizes[0]), int(scores.sizes[-1]))
    return Worth(candidate, score, at, min(float(low), at), max(float(high), at), *ends)


def crossing(sizes: Floats, values: Floats, goal: float) -> float:
    """The smallest size at which `values`, levelled, reach `goal`; -inf below the first size, inf beyond the last."""
    rising = isotonic_regression(values).x
    if rising[-1] < goal:
        return math.inf
    first = int(np.argmax(rising >= goal))
    if first == 0:
        return -math.inf
    share = (goal - rising[first - 1]) / (rising[first] - rising[first - 1])
    return float(sizes[first - 1] * (sizes[first] / sizes[first - 1]) ** share)


def _whole(n: float) -> int | None:
    return round(n) if math.isfinite(n) else None
