"""The law of a learning curve is found where there is one, and nothing is foretold where there is none."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from tutelage.evaluation.curve.fitting import Fit, Law, fit, fit_law
from tutelage.evaluation.curve.scores import Scores, scores, training_noise
from tutelage.evaluation.metrics import Mean, Statistic

SIZES = (50, 100, 200, 400, 800, 1600)
N = 600
TRUE = Law(0.95, 1.6, 0.4)


def simulated(
    score: Callable[[float], float], sizes: Sequence[int] = SIZES, repeats: int = 3, noise: float = 0.005, seed: int = 0
) -> Scores:
    """Right and wrong answers to examples of which some are harder than others, for all trainings alike."""
    chance = np.random.default_rng(seed)
    # Evenly spread, so that the score is the wanted one but for the noise of training.
    hardness = chance.permutation((np.arange(N) + 0.5) / N)
    found: dict[int, list[Statistic]] = {}
    for size in sizes:
        reached = [score(size) + chance.normal(0, noise) for _ in range(repeats)]
        found[size] = [Mean((hardness < one).astype(float)) for one in reached]
    return scores(found, N, max(sizes))


def fitted(measured: Scores) -> Fit:
    found, _ = fit(measured)
    assert found is not None
    return found


def test_a_known_law_is_found_again() -> None:
    sizes = np.array(SIZES, float)
    law = fit_law(sizes, TRUE(sizes), np.full(len(sizes), 0.01))
    assert law == pytest.approx(TRUE, rel=1e-3)


def test_what_twice_the_examples_add_is_foretold() -> None:
    found = fitted(simulated(lambda n: float(TRUE(np.array([n]))[0])))
    gain = found.gain()
    truth = float(np.diff(TRUE(np.array([1600.0, 3200.0])))[0])
    assert gain is not None and found.refusal is None
    assert gain.low < truth < gain.high and gain.high - gain.low < 0.03
    value, low, high = found.band(np.array([400.0, 3200.0]))
    assert np.all(low <= value) and np.all(value <= high)
    assert high[1] - low[1] > 0 and abs(value[0] - TRUE(np.array([400.0]))[0]) < 0.02


def test_a_flat_curve_foretells_nothing_more() -> None:
    gain = fitted(simulated(lambda n: 0.9, noise=0.002)).gain()
    assert gain is not None and gain.value < 0.01 and gain.low < 0.003


def test_too_few_sizes_are_refused() -> None:
    assert fit(simulated(lambda n: 0.5, sizes=SIZES[:2]))[0] is None
    three = fitted(simulated(lambda n: float(TRUE(np.array([n]))[0]), sizes=SIZES[:3]))
    assert three.gain() is None and "3 sizes" in str(three.refusal)


def test_points_far_from_any_law_are_refused() -> None:
    up_and_down = dict(zip(SIZES, (0.6, 0.4, 0.8, 0.5, 0.9, 0.6), strict=True))
    found = fitted(simulated(lambda n: up_and_down[int(n)], noise=0.001))
    assert found.gain() is None and "from the curve" in str(found.refusal)


def test_a_slow_start_is_left_out_and_said() -> None:
    def late(n: float) -> float:
        return 0.1 if n < 60 else 0.2 if n < 120 else float(TRUE(np.array([n]))[0])

    found = fitted(simulated(late, sizes=(50, 100, 200, 400, 800, 1600, 3200), noise=0.002))
    assert found.refusal is None and found.first == 200 and found.largest == 3200
    gain = found.gain()
    truth = float(np.diff(TRUE(np.array([3200.0, 6400.0])))[0])
    assert gain is not None and gain.low < truth < gain.high


def test_a_leap_that_the_smaller_sizes_do_not_foretell_is_refused() -> None:
    leap = dict(zip(SIZES, (0.50, 0.505, 0.51, 0.515, 0.52, 0.56), strict=True))
    found = fitted(simulated(lambda n: leap[int(n)], noise=0.0005))
    assert found.distance < 0.015 and found.foretold is not None and found.foretold.high < 0
    assert found.gain() is None and "foretold" in str(found.refusal)


def test_without_repeats_the_distance_from_the_curve_is_the_noise() -> None:
    measured = simulated(lambda n: float(TRUE(np.array([n]))[0]), repeats=1, noise=0.01)
    assert measured.noise == 0
    _, noisier = fit(measured)
    assert 0.001 < noisier.noise < 0.03
    assert noisier.errors.mean() > measured.errors.mean()


def test_noise_is_pooled_over_repeats_that_differ() -> None:
    values = {50: [0.5, 0.6], 100: [0.7, 0.7], 200: [0.9, 0.1]}
    assert training_noise(values, total=200) == pytest.approx(np.sqrt((0.005 + 0) / 2))
    assert training_noise({50: [0.5], 100: [0.6]}, total=100) == 0


def test_equal_scores_of_all_examples_are_no_certainty() -> None:
    found = scores({10: [Mean(np.ones(20))], 20: [Mean(np.ones(20))]}, 20, 20)
    assert [one.value for one in found.estimates()] == [1.0, 1.0]
    assert all(one.low < 0.95 for one in found.estimates())
