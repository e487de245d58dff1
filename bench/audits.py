"""Audits of labels, simulated: how often does the 95 % interval hold the true accuracy?

    python -m bench.audits        # two minutes on one core

A thousand audits at each of 192 combinations of true accuracy, sample and number of labels, by the shipped interval
(`review.finite`), and exactly, over all outcomes, by it and by the usual others: the exact hypergeometric test at 2.5 % a side,
its mid-p form, and Wilson's interval with the correction for a finite population. Then whole audits (`review.audit`) beside a
hunt for errors in the same labels, before it, after it and in turns with it.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from bench.projects import write_log
from tutelage.review.audit import Judged, audited
from tutelage.review.finite import LEVEL, limits
from tutelage.review.orders import AUDIT, audit_order

SHARES = (0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.97, 0.99)
SAMPLES = (30, 50, 100, 200, 300, 400)
POPULATIONS = (500, 1000, 2000, 10_000)
AUDITS, COINS, SEED = 1000, 32, 20261121
WITHIN = (0.93, 0.97)
NORMAL = 1.959963984540054

Numbers = NDArray[np.float64]
Kept = NDArray[np.bool_]


@dataclass(frozen=True)
class Grid:
    """All outcomes of a sample of n by the number of right ones in the population: chances (numbers, outcomes)."""

    n: int
    population: int
    numbers: NDArray[np.int64]
    chances: Numbers
    less: Numbers
    """The chance of the less probable outcomes."""


def main() -> int:
    start = time.monotonic()
    simulated: dict[tuple[int, int], list[float]] = {}
    exact: dict[str, dict[int, list[float]]] = {}
    checked = 0
    for population in POPULATIONS:
        for n in SAMPLES:
            grid = grid_of(n, population)
            checked += same_as_shipped(grid)
            simulated[n, population] = list(simulate(grid))
            for name, found in coverages(grid):
                exact.setdefault(name, {}).setdefault(n, []).extend(found)
    text = body(simulated, exact, checked) + "\n\n" + hunts()
    write_log("audits of labels, simulated", f"{text}\n\n{time.monotonic() - start:.0f} s.")
    return 0


def grid_of(n: int, population: int) -> Grid:
    numbers = np.arange(int(0.5 * population), population + 1)
    k, x = numbers[:, None], np.arange(n + 1)[None, :]
    possible = (x <= k) & (n - x <= population - k)

    def chosen(of: NDArray[np.int64], some: NDArray[np.int64]) -> Numbers:
        return np.asarray(gammaln(of + 1) - gammaln(some + 1) - gammaln(np.maximum(of - some, 0) + 1))

    ways = chosen(k, x) + chosen(population - k, n - x) - chosen(np.array(population), np.array(n))
    chances = np.where(possible, np.exp(ways), 0.0)
    order = np.argsort(chances, axis=1, kind="stable")
    ranked = np.take_along_axis(chances, order, 1)
    less = np.empty_like(chances)
    np.put_along_axis(less, order, np.cumsum(ranked, axis=1) - ranked, 1)
    return Grid(n, population, numbers, chances, less)


def kept(grid: Grid, outcome: int, coin: float) -> tuple[int, int]:
    """The outermost numbers that the test with this coin does not reject."""
    accepted = np.flatnonzero(
        (grid.less[:, outcome] + coin * grid.chances[:, outcome] >= LEVEL) & (grid.chances[:, outcome] > 0)
    )
    seen = round(grid.population * outcome / grid.n)
    low, high = (grid.numbers[accepted[[0, -1]]]) if len(accepted) else (seen, seen)
    return min(int(low), seen), max(int(high), seen)


def same_as_shipped(grid: Grid) -> int:
    """Assert that `limits` gives what trying every number gives, on a few outcomes; returns how many."""
    chance, done = np.random.default_rng([SEED, grid.n, grid.population]), 0
    for _ in range(8):
        outcome = int(chance.binomial(grid.n, chance.choice([0.85, 0.95, 0.99])))
        coin = float(chance.random())
        low, high = kept(grid, outcome, coin)
        if low > grid.numbers[0]:
            found = limits(outcome, grid.n, grid.population, coin)
            assert abs(found[0] - low) <= 2 and abs(found[1] - high) <= 2, (grid.n, grid.population, outcome, coin)
            done += 1
    return done


def simulate(grid: Grid) -> Iterator[float]:
    """For each true accuracy the share of AUDITS whose interval holds it."""
    chance = np.random.default_rng([SEED + 1, grid.n, grid.population])
    for share in SHARES:
        right = round(share * grid.population)
        drawn = chance.hypergeometric(right, grid.population - right, grid.n, AUDITS)
        hit = 0
        for outcome, coin in zip(drawn.tolist(), chance.random(AUDITS).tolist(), strict=True):
            low, high = kept(grid, outcome, coin)
            hit += low <= right <= high
        yield hit / AUDITS


def coverages(grid: Grid) -> Iterator[tuple[str, list[float]]]:
    """The exact coverage at each true accuracy, by method."""
    rights = [round(share * grid.population) for share in SHARES]
    rows = [right - int(grid.numbers[0]) for right in rights]
    covered = np.zeros(len(rights))
    for coin in (np.arange(COINS) + 0.5) / COINS:
        ends = [kept(grid, outcome, float(coin)) for outcome in range(grid.n + 1)]
        low, high = np.array(ends).T
        for at, (right, row) in enumerate(zip(rights, rows, strict=True)):
            covered[at] += grid.chances[row][(low <= right) & (right <= high)].sum() / COINS
    yield "shipped", covered.tolist()
    below = np.cumsum(grid.chances, axis=1)
    for name, part in (("exact, 2.5 % a side", 1.0), ("mid-p", 0.5)):
        inside = (below - (1 - part) * grid.chances >= 0.025) & (1 - below + part * grid.chances >= 0.025)
        yield name, [float(grid.chances[row][inside[row]].sum()) for row in rows]
    found = []
    for right, row in zip(rights, rows, strict=True):
        share = right / grid.population
        spread = np.sqrt(share * (1 - share) / grid.n * (grid.population - grid.n) / (grid.population - 1))
        near = np.abs(np.arange(grid.n + 1) / grid.n - share) <= NORMAL * spread
        found.append(float(grid.chances[row][near].sum()))
    yield "Wilson, finite population", found


def body(simulated: dict[tuple[int, int], list[float]], exact: dict[str, dict[int, list[float]]], checked: int) -> str:
    cells = [value for found in simulated.values() for value in found]
    outside = [value for value in cells if not WITHIN[0] <= value <= WITHIN[1]]
    lines = [
        f"{AUDITS:,} audits at each of {len(cells)} combinations: true accuracy {', '.join(map(str, SHARES))}; sample "
        f"{', '.join(map(str, SAMPLES))}; labels {', '.join(map(str, POPULATIONS))}. Seed {SEED}.\n",
        f"Simulated coverage: mean {np.mean(cells):.4f}, {min(cells):.3f} to {max(cells):.3f}; {len(outside)} of {len(cells)} "
        f"outside {WITHIN[0]:.0%} to {WITHIN[1]:.0%}. One cell's standard error is 0.7 points.\n",
        "| n | simulated, lowest to highest | " + " | ".join(f"exact: {name}" for name in exact) + " |",
        "|---|---|" + "---|" * len(exact),
    ]
    for n in SAMPLES:
        own = [value for (size, _), found in simulated.items() if size == n for value in found]
        others = [f"{min(found[n]):.3f} to {max(found[n]):.3f}" for found in exact.values()]
        lines.append(f"| {n} | {min(own):.3f} to {max(own):.3f} | " + " | ".join(others) + " |")
    total = len(cells)
    for name, found in exact.items():
        bad = sum(not WITHIN[0] <= value <= WITHIN[1] for values in found.values() for value in values)
        lines.append(f"\n- {name}: exact coverage outside {WITHIN[0]:.0%} to {WITHIN[1]:.0%} at {bad} of {total}.")
    lines.append(
        f"\n- The shipped search gives what trying every number gives in {checked} cases drawn (to two labels)."
    )
    return "\n".join(lines)


def hunts() -> str:
    """Audits of 80 of 800 labels, 100 of them wrong, where 150 others are reviewed by suspicion, 40 % of them wrong."""
    lines = [
        "Audits of 80 of 800 labels, 12.5 % of them wrong, beside a hunt: 150 labels reviewed by suspicion, 40 % of them wrong. "
        f"{AUDITS:,} simulations each; 5 % skipped in the last row.\n",
        "| the hunt | coverage, all labels | coverage, the unreviewed | mean width, the unreviewed | bias, all labels |",
        "|---|---|---|---|---|",
    ]
    for name, when, skipped in (
        ("before the audit", "before", 0.0),
        ("after it", "after", 0.0),
        ("in turns with it", "turns", 0.0),
        ("in turns, 5 % skipped", "turns", 0.05),
    ):
        found = np.array([hunted(when, skipped, random.Random(f"{SEED}-{when}-{run}")) for run in range(AUDITS)])
        whole, rest, width, bias = found.mean(axis=0)
        lines.append(f"| {name} | {whole:.3f} | {rest:.3f} | {width:.3f} | {bias:+.4f} |")
    return "\n".join(lines)


def hunted(when: str, skipped: float, chance: random.Random) -> tuple[bool, bool, float, float]:
    """One audit: whether both intervals hold the truth, how wide that of the unreviewed is, how far off the other's value."""
    ids = [f"{chance.getrandbits(64):x}" for _ in range(800)]
    suspects = chance.sample(ids[:100], 60) + chance.sample(ids[100:], 90)
    chance.shuffle(suspects)
    right = {id: at >= 100 for at, id in enumerate(ids)}
    drawn = iter(audit_order(ids, AUDIT))
    judged = {id: Judged("teacher") for id in ids}

    def review(some: Iterable[str], by_audit: bool) -> None:
        for id in some:
            word = None if chance.random() < skipped else right[id]
            early = when == "before" and not by_audit and word is not None
            judged[id] = Judged("teacher", seen=True, right=word, before=early, by_audit=by_audit)

    rounds = 5 if when == "turns" else 1
    for turn in range(rounds):
        hunt = [id for id in suspects[turn * 150 // rounds : (turn + 1) * 150 // rounds] if not judged[id].seen]
        if when == "before":
            review(hunt, False)
        review(islice((id for id in drawn if not judged[id].seen), 80 // rounds), True)
        if when != "before":
            review([id for id in hunt if not judged[id].seen], False)
    found = audited("teacher", judged)
    assert found.accuracy is not None and found.rest is not None
    left = [right[id] for id in ids if judged[id].right is None]
    share = sum(left) / len(left)
    holds = found.accuracy.low <= 0.875 <= found.accuracy.high, found.rest.low <= share <= found.rest.high
    return *holds, found.rest.high - found.rest.low, found.accuracy.value - 0.875


if __name__ == "__main__":
    sys.exit(main())
