"""Learn then Test (Angelopoulos et al. 2021): the boldest configuration whose loss is proved to stay under its limit.

Configurations stand in an order from the safest to the boldest and are tested one after another, each at the full level delta;
the first that is not proved ends it (fixed-sequence testing). With probability at least 1 - delta no configuration is called
proved whose mean loss exceeds its limit: to do so the first such one in the order has to be passed, which a valid p-value lets
happen in at most delta of cases. The order may not depend on the calibration examples' losses.

Thresholds on a confidence are such an order from 1 down. Between two neighbouring confidences of the calibration examples the
same are answered, so that testing at those is testing every threshold there is.

Several losses (or groups of examples) are controlled jointly by the largest of their p-values: a configuration is bad if one of
them exceeds its limit, and all have to be proved for it to pass (intersection-union test).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tutelage.evaluation.metrics import Floats
from tutelage.routing.bounds import betting_p, exact_p, shuffled, uniform_of

LEAST = 30
"""Examples of a group, at least, for its loss to be controlled apart."""


@dataclass(frozen=True)
class Limit:
    """A loss of each example in each configuration: `of(threshold)` gives shape (n,) in [0, 1]; its mean may be `most`.

    `binary` says that losses are 0 or 1 by their nature: the exact test is then used. `members` are the indices of the
    examples that it counts for (a group's), None for all.
    """

    name: str
    most: float
    of: Callable[[float], Floats]
    binary: bool
    members: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Proved:
    """The lowest threshold proved and the p-value of each limit there; `tested` thresholds were passed.

    `threshold` None: not even answering the surest alone is proved. `failed` is the p-value at the first threshold that
    was not proved (None where all were), by the limit that failed.
    """

    threshold: float | None
    p_values: dict[str, float]
    tested: int
    failed: tuple[str, float] | None


@dataclass(frozen=True)
class Sample:
    """The calibration examples: `ids`, from which order and randomisation follow, and the `spread` expected of losses."""

    ids: Sequence[str]
    spread: float = 0.2


def thresholds(confidence: Floats) -> Floats:
    """Every threshold that tells the examples apart, from the highest down: just above each distinct confidence, and 0 at
    the end. An example is answered where its confidence is at or above the threshold; below 0 it never is."""
    distinct = np.unique(confidence[confidence >= 0])[::-1]
    return np.append(np.nextafter(distinct, np.inf), 0.0)


def prove(limits: Sequence[Limit], order: Floats, sample: Sample, delta: float) -> Proved:
    """Fixed-sequence test of the thresholds in `order` (from the safest) at level `delta`.

    The first threshold answers nothing; where even that cannot be proved, the last stage itself misses the limits.
    """
    u, shuffle = uniform_of(sample.ids), shuffled(sample.ids)
    passed: Proved = Proved(None, {}, 0, None)
    for number, threshold in enumerate(order.tolist()):
        found = {one.name: p_value(one, threshold, (u, shuffle, sample.spread), delta) for one in limits}
        worst = max(found, key=lambda name: found[name])
        if found[worst] > delta:
            return Proved(passed.threshold, passed.p_values, number, (worst, found[worst]))
        passed = Proved(threshold, found, number + 1, None)
    return passed


def p_value(limit: Limit, threshold: float, order: tuple[float, NDArray[np.int64], float], delta: float) -> float:
    """The p-value of one limit at one threshold."""
    u, shuffle, spread = order
    losses = limit.of(threshold)
    if limit.binary:
        return exact_p(losses if limit.members is None else losses[limit.members], limit.most, u)
    if limit.members is not None:
        inside = np.zeros(len(losses), dtype=np.bool_)
        inside[limit.members] = True
        shuffle = shuffle[inside[shuffle]]
    return betting_p(losses[shuffle], limit.most, delta, spread)
