"""Who is asked: knapsacks offline and on a stream, bars, and the curve of cost and quality."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.evaluation.metrics import Floats
from tutelage.routing.router.bars import bars
from tutelage.routing.router.curves import cost_quality
from tutelage.routing.router.exact import exact
from tutelage.routing.router.knapsack import at_price, spread, under_budget, upgrades
from tutelage.routing.router.strategies import RunningPrice, cheapest_above


@st.composite
def problems(draw: st.DrawFn) -> tuple[Floats, Floats, float]:
    """Qualities (n, k), costs (k,) or (n, k), and a budget that allows the cheapest."""
    n, k = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    tenths = st.integers(0, 10).map(lambda one: one / 10)
    quality = np.array(draw(st.lists(tenths, min_size=n * k, max_size=n * k))).reshape(n, k)
    rows = draw(st.sampled_from([1, n]))
    costs = np.array(draw(st.lists(tenths, min_size=rows * k, max_size=rows * k))).reshape(rows, k)
    each = spread(costs[0] if rows == 1 else costs, n)
    share = draw(tenths)
    low, high = each.min(axis=1).mean(), each.max(axis=1).mean()
    return quality, costs[0] if rows == 1 else costs, low + share * (high - low)


@given(problems())
def test_the_greedy_choice_keeps_the_budget_and_is_within_one_upgrade_of_the_best(
    problem: tuple[Floats, Floats, float],
) -> None:
    quality, costs, budget = problem
    n, k = quality.shape
    each, every = spread(costs, n), np.arange(n)
    plan, whole = under_budget(quality, costs, budget), exact(quality, costs, budget)
    best = max(
        quality[every, choice].mean()
        for choice in map(list, itertools.product(range(k), repeat=n))
        if each[every, choice].mean() <= budget + 1e-9
    )
    assert each[every, plan.choice].mean() <= budget + 1e-9
    assert each[every, whole].mean() <= budget + 1e-6
    assert quality[every, whole].mean() == pytest.approx(best)
    assert plan.quality <= best + 1e-9
    assert best <= plan.bound + 1e-9
    assert plan.bound - plan.quality <= 1 / n + 1e-9


def test_upgrades_skip_who_is_dominated() -> None:
    quality, costs = np.array([[0.2, 0.3, 0.9, 0.8]]), np.array([0.0, 1.0, 2.0, 3.0])
    steps = upgrades(quality, costs)
    assert (steps.old.tolist(), steps.new.tolist()) == ([0], [2])
    assert steps.slope.tolist() == pytest.approx([0.35])


def test_of_equally_cheap_candidates_the_better_is_where_an_input_begins() -> None:
    steps = upgrades(np.array([[0.2, 0.5, 0.4]]), np.array([1.0, 1.0, 2.0]))
    assert steps.start.tolist() == [1]
    assert len(steps.example) == 0


def test_a_budget_below_the_cheapest_is_refused() -> None:
    with pytest.raises(ValueError, match="an input, over"):
        under_budget(np.array([[0.1, 0.2]]), np.array([1.0, 2.0]), 0.5)


def test_the_price_of_a_budget_gives_the_same_choice_one_by_one() -> None:
    random = np.random.default_rng(0)
    quality, costs = random.random((200, 3)), np.array([0.1, 0.5, 1.0])
    plan = under_budget(quality, costs, 0.4)
    assert (at_price(quality, costs, plan.price + 1e-12) == plan.choice).mean() >= 0.99


def test_the_cheapest_above_a_bar_and_the_ablest_where_none_is() -> None:
    chances = np.array([[0.9, 0.95, 0.99], [0.2, 0.9, 0.95], [0.2, 0.6, 0.5]])
    assert cheapest_above(chances, 0.9).tolist() == [0, 1, 1]


@given(st.lists(st.tuples(*[st.sampled_from([0.1, 0.3, 0.5, 0.7, 0.9])] * 3), min_size=1, max_size=6))
def test_the_bars_that_are_tested_are_all_that_there_are(rows: list[tuple[float, ...]]) -> None:
    chances = np.array(rows)
    tried = bars(chances).tolist()
    assert tried == sorted(tried, reverse=True)
    known = [cheapest_above(chances, bar).tolist() for bar in tried]
    assert known[0] == chances.argmax(axis=1).tolist()
    assert known[-1] == [0] * len(rows)
    for bar in np.linspace(0, 1, 41).tolist():
        assert cheapest_above(chances, bar).tolist() in known


@given(
    st.lists(st.tuples(*[st.floats(0, 1)] * 3), min_size=1, max_size=60),
    st.floats(0.1, 1),
    st.floats(0, 2),
    st.integers(0, 3),
)
def test_on_any_stream_no_more_is_spent_than_allowed(
    stream: list[tuple[float, float, float]], budget: float, step: float, ahead: int
) -> None:
    pacer = RunningPrice(np.array([0.1, 0.4, 1.0]), budget, 0.0, step, ahead)
    for seen, chances in enumerate(stream, 1):
        pacer.choose(np.array(chances))
        assert pacer.spent <= budget * seen + ahead + 1e-6


def test_a_price_that_follows_finds_the_budget_whatever_it_began_with() -> None:
    random = np.random.default_rng(0)
    for price in (0.0, 5.0):
        pacer = RunningPrice(np.array([0.0, 1.0]), 0.3, price, 0.01, float("inf"))
        asked = [pacer.choose(np.array([chance, 1.0])) for chance in random.random(4000)]
        assert np.mean(asked[2000:]) == pytest.approx(0.3, abs=0.03)


def example(n: int = 400) -> tuple[Floats, Floats]:
    """What a router believes of two candidates, and how right they are: the second is right always, the first as believed."""
    random = np.random.default_rng(1)
    believed = np.column_stack([random.random(n), np.ones(n)])
    return believed, np.column_stack([random.random(n) < believed[:, 0], np.ones(n)]).astype(float)


def test_a_router_that_knows_beats_the_random_mix_and_no_router_beats_the_oracle() -> None:
    believed, quality = example()
    found = cost_quality(("weak", "strong"), believed, quality, np.array([0.0, 1.0]))
    router, random, oracle = (np.array(found.curves[name]) for name in ("router", "random", "oracle"))
    assert router[0] == random[0] == oracle[0] == pytest.approx(quality[:, 0].mean())
    assert router[-1] == random[-1] == oracle[-1] == pytest.approx(1.0)
    assert (oracle >= router - 1e-12).all()
    assert random[50] == pytest.approx((quality[:, 0].mean() + 1) / 2)
    assert found.gain.low > 0.05
    assert found.at[0.5]["gain"].low > 0
    assert found.areas["router"].value - found.areas["random"].value == pytest.approx(found.gain.value)
    assert found.alone["strong"] == (1.0, 1.0)


def test_a_router_that_knows_nothing_has_an_interval_around_no_gain() -> None:
    _, quality = example()
    believed = np.column_stack([np.random.default_rng(2).random(len(quality)), np.ones(len(quality))])
    found = cost_quality(("weak", "strong"), believed, quality, np.array([0.0, 1.0]))
    assert found.gain.low < 0 < found.gain.high


def test_half_the_calls_is_the_better_half_of_the_beliefs() -> None:
    believed, quality = example(10)
    found = cost_quality(("weak", "strong"), believed, quality, np.array([0.0, 1.0]))
    asked = np.argsort(believed[:, 0])[:5]
    expected = quality[:, 0].sum() + (1 - quality[asked, 0]).sum()
    assert found.at[0.5]["router"].value == pytest.approx(expected / 10)


def test_the_random_mix_of_three_leaves_out_who_is_dear_and_no_better() -> None:
    quality = np.array([[0.0, 0.1, 1.0]] * 20)
    found = cost_quality(("a", "b", "c"), quality, quality, np.array([0.0, 1.0, 2.0]), at=(1.0,))
    assert found.at[1.0]["random"].value == pytest.approx(0.5)
