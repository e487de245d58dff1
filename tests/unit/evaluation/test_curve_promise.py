"""The false-promise check on constructed students: one that learns the task, one that learns its teacher's mistakes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from tutelage.evaluation.curve.promise import Promise, promise, slopes
from tutelage.evaluation.curve.scores import Apart, scores
from tutelage.evaluation.metrics import Mean, Statistic

SIZES = (50, 100, 200, 400, 800)
N = 500


def checked(
    gold: Callable[[int], float], teacher: Callable[[int], float], sizes: Sequence[int] = SIZES
) -> Promise | None:
    chance = np.random.default_rng(3)
    order = chance.permutation((np.arange(N) + 0.5) / N)

    def mean(share: float) -> Mean:
        return Mean((order < share).astype(float))

    right: dict[int, list[Statistic]] = {}
    agreed: dict[int, list[Statistic]] = {}
    for size in sizes:
        right[size] = [mean(gold(size) + chance.normal(0, 0.004)) for _ in range(3)]
        agreed[size] = [mean(teacher(size) + chance.normal(0, 0.004)) for _ in range(3)]
    apart: dict[int, list[Statistic]] = {
        size: [Apart(a, g) for a, g in zip(agreed[size], right[size], strict=True)] for size in sizes
    }
    told, same, more = (scores(one, N, sizes[-1]) for one in (right, agreed, apart))
    return promise(told, same, more, N)


def doublings(size: int) -> float:
    return float(np.log2(size / 50))


def test_a_student_that_learns_the_task() -> None:
    found = checked(lambda n: 0.6 + 0.05 * doublings(n), lambda n: 0.62 + 0.05 * doublings(n))
    assert found is not None and found.verdict == "helps"
    assert (found.first, found.last) == (200, 800)
    assert found.gold.value == pytest.approx(0.05, abs=0.01)
    assert found.text.startswith("More of the teacher's labels help on gold (each doubling")


def test_a_student_that_learns_its_teacher() -> None:
    found = checked(lambda n: 0.7, lambda n: 0.6 + 0.05 * doublings(n))
    assert found is not None and found.verdict == "false promise"
    assert found.agreement.low > 0.03 and found.gold.low <= 0 <= found.gold.high
    assert "not to gold" in found.text and "from 200 to 800 examples" in found.text


def test_a_student_that_learns_both_and_its_teacher_faster() -> None:
    found = checked(lambda n: 0.6 + 0.03 * doublings(n), lambda n: 0.6 + 0.08 * doublings(n))
    assert found is not None and found.verdict == "helps agreement more"


def test_a_student_that_gets_worse_and_one_that_learns_nothing() -> None:
    worse = checked(lambda n: 0.8 - 0.05 * doublings(n), lambda n: 0.6 + 0.05 * doublings(n))
    nothing = checked(lambda n: 0.7, lambda n: 0.7)
    assert worse is not None and worse.verdict == "harms"
    assert nothing is not None and nothing.verdict == "nothing"


def test_two_sizes_are_no_trend() -> None:
    assert checked(lambda n: 0.7, lambda n: 0.7, sizes=(50, 100)) is None


def test_a_slope_is_a_doublings_gain() -> None:
    draws = np.array([[0.5, 0.5], [0.6, 0.7], [0.7, 0.9]])
    found = slopes(np.array([10.0, 20.0, 40.0]), np.array([0.5, 0.6, 0.7]), draws)
    assert found.value == pytest.approx(0.1) and found.low == pytest.approx(0.1, abs=0.01)
    assert found.high == pytest.approx(0.2, abs=0.01)
