"""How many examples a prompt is worth: where the student's curve crosses its score, and how sure that is."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tutelage.evaluation.curve.scores import Scores
from tutelage.evaluation.curve.worth import Worth, crossing, worth
from tutelage.evaluation.estimates import Estimate

SIZES = np.array([50.0, 100.0, 200.0, 400.0])


def curve(*means: float, spread: float = 0.01) -> Scores:
    values = np.array(means)
    draws = values[:, None] + np.random.default_rng(0).normal(0, spread, (len(values), 1000))
    return Scores(SIZES, np.full(len(values), 3), values, draws, spread)


def of(score: float, scores: Scores) -> Worth:
    resampled = np.random.default_rng(1).normal(score, 0.01, 1000)
    return worth("prompted", Estimate(score, score - 0.02, score + 0.02), resampled, scores)


def test_between_sizes_the_logarithm_of_size_is_followed() -> None:
    assert crossing(SIZES, np.array([0.5, 0.6, 0.7, 0.8]), 0.65) == pytest.approx(math.sqrt(100 * 200))
    assert crossing(SIZES, np.array([0.5, 0.6, 0.7, 0.8]), 0.4) == -math.inf
    assert crossing(SIZES, np.array([0.5, 0.6, 0.7, 0.8]), 0.81) == math.inf


def test_a_single_high_point_is_no_crossing() -> None:
    assert crossing(SIZES, np.array([0.5, 0.8, 0.5, 0.8]), 0.75) > 200


def test_a_score_within_what_was_measured() -> None:
    found = of(0.65, curve(0.5, 0.6, 0.7, 0.8))
    assert 100 < found.low < found.examples < found.high < 200
    assert found.text().startswith("worth 141 examples (1")
    assert found.json()["reached"] == "within" and found.json()["examples"] == 141


def test_a_score_that_is_not_reached() -> None:
    found = of(0.95, curve(0.5, 0.6, 0.7, 0.8))
    assert found.text() == "not reached within what was measured, 400 examples"
    assert found.json() | {"score": None} == {
        "candidate": "prompted",
        "score": None,
        "reached": "beyond",
        "examples": None,
        "low": None,
        "high": None,
        "measured": [50, 400],
    }
    near = of(0.81, curve(0.5, 0.6, 0.7, 0.8))
    assert near.high == math.inf and 200 < near.low < 400 and "more than 3" in near.text()


def test_a_score_below_the_smallest_size() -> None:
    found = of(0.2, curve(0.5, 0.6, 0.7, 0.8))
    assert found.text() == "worth fewer than 50 examples (fewer than 50 at 97.5 %)" or found.high == -math.inf
    assert found.json()["reached"] == "below"


def test_ends_beyond_what_was_measured_are_said() -> None:
    found = of(0.5, curve(0.45, 0.46, 0.55, 0.56, spread=0.2))
    assert found.low == -math.inf and found.high == math.inf
    assert found.text().endswith("(under 50 to over 400)")
