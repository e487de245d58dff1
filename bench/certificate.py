"""Does a certificate hold, and what does certainty cost? Simulated on a population whose true loss is known.

    python -m bench.students --dataset banking77 --work FOLDER --only linear          # a project with its student's answers
    python -m bench.certificate --project FOLDER --student linear --max-loss 0.03
    python -m bench.certificate --project FOLDER --student multitask-tagger --teacher teacher --against teacher

The student's answers to all of test are the population, so that the true loss of every threshold is known. Calibration sets of n
examples are drawn from it with replacement; each rule takes a threshold; a miss is a threshold whose true loss exceeds the limit.
Confidences are calibrated on dev, once. Without --teacher the last stage is a person who is always right. The oracle takes the
lowest threshold that keeps the limit in the population.

Rules: `point` the lowest threshold whose mean loss on the n examples keeps the limit; `exact` the binomial test, `shipped` what
`tutelage calibrate` does (for wrong or right: randomised binomial; for losses in [0, 1]: betting); `bentkus` Hoeffding-Bentkus.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, binom

from bench.projects import answer, write_log
from tutelage.evaluation.candidates import candidate
from tutelage.evaluation.metrics import Floats
from tutelage.project import open_project
from tutelage.routing.answered import Answers, Goal, answered_by
from tutelage.routing.bounds import betting_p, hoeffding_bentkus_p
from tutelage.routing.confidence import fit_confidence
from tutelage.routing.losses import Loss
from tutelage.routing.testing import Limit, Sample, prove, thresholds

SIZES = (300, 1000, 3000)
MOST_BETS = 1000
"""Beyond, the two looser rules for right or wrong are left out: they take seconds a run."""


@dataclass(frozen=True)
class Population:
    """Confidence and loss of the student's answers, loss of the last stage's, shape (N,) each; the limit and its level."""

    sure: Floats
    student: Floats
    last: Floats
    most: float
    delta: float
    binary: bool
    spread: float

    def drawn(self, at: NDArray[np.int64]) -> Population:
        return Population(
            self.sure[at], self.student[at], self.last[at], self.most, self.delta, self.binary, self.spread
        )

    def losses(self, threshold: float) -> Floats:
        return np.where(self.sure >= threshold, self.student, self.last)

    def along(self) -> tuple[Floats, Floats]:
        """All thresholds from the safest, and the mean loss at each."""
        order = thresholds(self.sure)
        ranked = np.argsort(-self.sure, kind="stable")
        gained = np.concatenate([[0.0], np.cumsum((self.student - self.last)[ranked])])
        answered = np.searchsorted(-self.sure[ranked], -order, side="right")
        return order, (self.last.sum() + gained[answered]) / len(self.sure)


Rule = Callable[[Population, int], float | None]


def point(found: Population, _run: int) -> float | None:
    order, means = found.along()
    kept = np.flatnonzero(means <= found.most + 1e-12)
    return float(order[kept[-1]]) if len(kept) else None


def exact(found: Population, _run: int) -> float | None:
    order, means = found.along()
    p = binom.cdf(np.round(means * len(found.sure)), len(found.sure), found.most)
    return _first_sequence(order, p, found.delta)


def shipped(found: Population, run: int) -> float | None:
    limit = Limit("loss", found.most, found.losses, found.binary)
    ids = [f"{run} {at}" for at in range(len(found.sure))]
    return prove([limit], thresholds(found.sure), Sample(ids, found.spread), found.delta).threshold


def bentkus(found: Population, _run: int) -> float | None:
    order: list[float] = thresholds(found.sure).tolist()
    for number, threshold in enumerate(order):
        if hoeffding_bentkus_p(found.losses(threshold), found.most) > found.delta:
            return order[number - 1] if number else None
    return order[-1]


def betting(found: Population, run: int) -> float | None:
    """Betting on losses of 0 or 1, beside the exact test."""
    shuffled = np.random.default_rng(run).permutation(len(found.sure))
    order: list[float] = thresholds(found.sure).tolist()
    for number, threshold in enumerate(order):
        losses = found.losses(threshold)[shuffled]
        if betting_p(losses, found.most, found.delta, np.sqrt(found.most * (1 - found.most))) > found.delta:
            return order[number - 1] if number else None
    return order[-1]


def _first_sequence(order: Floats, p: Floats, delta: float) -> float | None:
    failed = np.flatnonzero(p > delta)
    passed = int(failed[0]) if len(failed) else len(order)
    return float(order[passed - 1]) if passed else None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, required=True)
    parser.add_argument("--student", required=True)
    parser.add_argument("--teacher")
    parser.add_argument("--against", choices=["gold", "teacher"], default="gold")
    parser.add_argument("--loss", choices=["wrong", "metric"], default="wrong")
    parser.add_argument("--max-loss", type=float, default=0.03)
    parser.add_argument("--confidence", type=float, default=0.95)
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--sizes", type=int, nargs="*", default=list(SIZES))
    parser.add_argument("--dry", action="store_true", help="write no log")
    chosen = parser.parse_args()
    population, about = made(chosen)
    body = "\n".join([about, "", *simulated(population, chosen.sizes, chosen.runs)])
    title = f"certificate: {chosen.project.name} {chosen.student}, {chosen.loss} <= {chosen.max_loss:g} against {chosen.against}"
    print(body) if chosen.dry else write_log(title, body)
    return 0


def made(chosen: argparse.Namespace) -> tuple[Population, str]:
    """The population and what it is."""
    project = open_project(chosen.project)
    stages = [candidate(project, name) for name in (chosen.student, *([chosen.teacher] if chosen.teacher else []))]
    loss: Loss = chosen.loss
    goal = Goal({loss: chosen.max_loss}, chosen.confidence, chosen.against)
    for split in ("dev", "test"):
        answer(project, [one.name for one in stages], split)
    dev, test = (answered_by(project, stages, split, goal) for split in ("dev", "test"))
    fitted = fit_confidence(project.task, dev.stages[0], dev.gold, dev.right[0])
    assert fitted is not None
    sure = fitted.confidence.of(test.stages[0])
    last = test.losses[loss][1] if chosen.teacher else np.zeros(test.n)
    own = dev.losses[loss][0]
    size = float((own**2).mean() / max(own.mean(), 1e-9))
    spread = float(np.sqrt(chosen.max_loss * size))
    found = Population(
        sure, test.losses[loss][0], last, chosen.max_loss, 1 - chosen.confidence, loss == "wrong", spread
    )
    return found, _about(found, test, chosen, f"{fitted.confidence.signal}, map {fitted.confidence.map.kind}")


def _about(found: Population, test: Answers, chosen: argparse.Namespace, confidence: str) -> str:
    last = (
        f"the last stage ({chosen.teacher}) {found.last.mean():.4f}"
        if chosen.teacher
        else "the last stage 0 (a person)"
    )
    return (
        f"Population {test.n} examples; the student loses {found.student.mean():.4f}, {last}; confidence: {confidence}, "
        f"calibrated on dev; limit {found.most:g}, confidence {1 - found.delta:g}, {chosen.runs} calibration sets each."
    )


def simulated(population: Population, sizes: list[int], runs: int) -> list[str]:
    order, means = population.along()
    kept = np.flatnonzero(means <= population.most + 1e-12)
    if not len(kept):
        return ["The last stage alone exceeds the limit: nothing to certify."]
    oracle = 1 - float((population.sure >= order[kept[-1]]).mean())
    rules: dict[str, Rule] = {"point": point, "shipped": shipped, "bentkus": bentkus}
    if population.binary:
        rules = {"point": point, "exact": exact, "shipped": shipped, "betting": betting, "bentkus": bentkus}
    lines = [f"| n | rule | misses (95 %) | escalates | times the oracle's {oracle:.4f} | ms |", "|---" * 6 + "|"]
    for n in sizes:
        for name, rule in rules.items():
            if population.binary and n > MOST_BETS and name in ("betting", "bentkus"):
                continue
            lines.append(_row(population, n, (name, rule), runs, oracle))
            print(lines[-1], file=sys.stderr, flush=True)
    return lines


def _row(population: Population, n: int, rule: tuple[str, Rule], runs: int, oracle: float) -> str:
    rng, missed, escalated, seconds = np.random.default_rng(n), 0, [], 0.0
    for run in range(runs):
        drawn = population.drawn(rng.integers(0, len(population.sure), n))
        start = time.perf_counter()
        threshold = rule[1](drawn, run)
        seconds += time.perf_counter() - start
        answered = population.sure >= (np.inf if threshold is None else threshold)
        true = float(np.where(answered, population.student, population.last).mean())
        missed += threshold is not None and true > population.most + 1e-12
        escalated.append(1 - float(answered.mean()))
    low = float(beta.ppf(0.025, missed, runs - missed + 1)) if missed else 0.0
    high = float(beta.ppf(0.975, missed + 1, runs - missed)) if missed < runs else 1.0
    mean = float(np.mean(escalated))
    times = f"{mean / oracle:.2f}" if oracle else "-"
    return (
        f"| {n} | {rule[0]} | {missed / runs:.3f} ({low:.3f} to {high:.3f}) | {mean:.4f} | {times} "
        f"| {1000 * seconds / runs:.0f} |"
    )


if __name__ == "__main__":
    sys.exit(main())
