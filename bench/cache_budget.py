"""The semantic cache's error budget, simulated: how many of the answers it gives are wrong where the truth is known.

    OMP_NUM_THREADS=1 python -m bench.cache_budget         # 3 minutes; appends to bench/LOG.md

Questions arrive with a similarity to one of 50 kept ones, uniform from 0.6 to 1; whether the kept answer is right is drawn with
a probability that each world gives by similarity and by the question kept. Decisions and observations as the cache's.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
from scipy.stats import binomtest

from bench.projects import write_log
from tutelage.gateway.cache.evidence import OWN, Evidence, Observation

BUDGET, ARRIVALS, RUNS, KEPT, REASK = 0.02, 8000, 8, 50, 0.05
MARKS = (1000, 2000, 4000, 8000)


def steep(middle: float, slope: float = 40.0) -> Callable[[float, float], float]:
    return lambda similarity, _question: float(1 / (1 + np.exp(-slope * (similarity - middle))))


WORLDS: dict[str, Callable[[float, float], float]] = {
    "right from 0.8 on, steeply": steep(0.8),
    "the same, from 0.7 on, slowly": steep(0.7, 15),
    "1 % wrong however near, above 0.7": lambda similarity, _: 0.99 if similarity > 0.7 else 0.2,
    "1.9 % wrong however near": lambda similarity, _: 0.981 if similarity > 0.7 else 0.2,
    "2.5 % wrong however near": lambda similarity, _: 0.975 if similarity > 0.7 else 0.2,
    "4 % wrong however near": lambda similarity, _: 0.96 if similarity > 0.7 else 0.2,
    "one question in five from 0.9 on, others from 0.7": lambda similarity, question: steep(
        0.9 if question < 0.2 else 0.7
    )(similarity, question),
    "one question in twenty never right": lambda similarity, question: (
        0.0 if question < 0.05 else steep(0.7)(similarity, 0)
    ),
}


def main() -> int:
    start = time.monotonic()
    rows = [
        f"| world | {' | '.join(f'hits of arrivals to {mark:,}' for mark in MARKS)} | wrong hits, all runs (95 %) |",
        "|---" * (len(MARKS) + 2) + "|",
    ]
    for name, world in WORLDS.items():
        runs = [simulated(world, seed) for seed in range(RUNS)]
        hits, wrong = sum(sum(hit) for hit, _ in runs), sum(sum(bad) for _, bad in runs)
        shares = [sum(sum(hit[:mark]) for hit, _ in runs) / (RUNS * mark) for mark in MARKS]
        shown = "no hit"
        if hits:
            interval = binomtest(wrong, hits).proportion_ci()
            shown = f"{wrong / hits:.2%} ({interval.low:.2%} to {interval.high:.2%}), {wrong} of {hits:,}"
        rows.append(f"| {name} | {' | '.join(f'{share:.1%}' for share in shares)} | {shown} |")
        print(rows[-1], file=sys.stderr, flush=True)
    body = (
        f"Budget {BUDGET:.0%}; {RUNS} runs of {ARRIVALS:,} arrivals each, {REASK:.0%} of hits asked again.\n\n"
        + "\n".join(rows)
    )
    write_log("semantic cache, its budget simulated", f"{body}\n\n{time.monotonic() - start:.0f} s on a busy machine.")
    return 0


def simulated(world: Callable[[float, float], float], seed: int) -> tuple[list[bool], list[bool]]:
    """For each arrival whether it was a hit, and whether a wrong one."""
    chance = np.random.default_rng(seed)
    evidence, own = Evidence(BUDGET), [list[Observation]() for _ in range(KEPT)]
    questions = chance.random(KEPT)
    hits, wrong = [], []
    for _ in range(ARRIVALS):
        which, similarity = int(chance.integers(KEPT)), float(chance.uniform(0.6, 1.0))
        right = bool(chance.random() < world(similarity, questions[which]))
        hit = evidence.allows(similarity, own[which]) and chance.random() >= REASK
        hits.append(hit)
        wrong.append(hit and not right)
        if not hit:
            if not evidence.alone(similarity, own[which]):
                evidence.add(Observation(similarity, right))
            own[which].append(Observation(similarity, right))
            del own[which][:-OWN]
    return hits, wrong


if __name__ == "__main__":
    sys.exit(main())
