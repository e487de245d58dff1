"""The learned order of a cascade: the search against brute force, the wish, honest figures."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from tests.panels import recorded_project

from tutelage.errors import DataError, UsageError
from tutelage.project import Project
from tutelage.routing.order import Facts, Rule, Wish, applied, best, learn_order, search
from tutelage.types import Split


def facts(n: int = 60, seed: int = 0) -> Facts:
    """Three candidates, each dearer and better than the one before; the last gives no confidence."""
    random = np.random.default_rng(seed)
    ability = np.array([0.6, 0.8, 0.95])[:, None]
    right = random.random((3, n)) < ability
    sure = np.clip(ability + np.where(right, 0.1, -0.2) + random.normal(0, 0.1, (3, n)), 0, 1)
    sure[2] = np.nan
    dollars = np.array([1e-4, 1e-3, 1e-2])[:, None] * random.uniform(0.5, 1.5, (3, n))
    return Facts((~right).astype(np.float64), dollars, sure)


def small(at: int) -> tuple[str | None, float | None]:
    """Right about 2 of 3, and knows which."""
    return ("yes", 0.9) if at % 3 else ("no", 0.2 + (at % 5) / 50)


def middle(at: int) -> tuple[str | None, float | None]:
    """Right but about every 10th, and seldom sure of that."""
    return ("yes", 0.8) if at % 10 else ("maybe", 0.4)


def large(at: int) -> tuple[str | None, float | None]:
    return ("yes" if at % 50 else "no"), None


MODELS = {"small": small, "middle": middle, "large": large}


def make(folder: Path, more: str = "", n: int = 200, splits: tuple[Split, ...] = ("dev",)) -> Project:
    return recorded_project(folder, MODELS, more, n=n, splits=splits)


@pytest.mark.parametrize("shared", [True, False])
def test_every_rule_has_the_figures_of_asking_one_stage_after_the_other(shared: bool) -> None:
    given = facts()
    found = search(given, shared=shared)
    orders = [one for size in (1, 2, 3) for one in permutations(range(3), size) if 2 not in one[:-1]]
    assert [one.stages for one in found] == orders
    for one in found:
        for thresholds, loss, dollars in zip(one.thresholds.tolist(), one.loss, one.dollars, strict=True):
            lost, spent, _ = applied(Rule(one.stages, tuple(thresholds)), given)
            assert (lost.mean(), spent.mean()) == (pytest.approx(loss), pytest.approx(dollars))


def test_the_best_rule_keeps_the_budget_and_no_other_loses_less() -> None:
    given = facts()
    found = search(given)
    rules = [(loss, cost) for one in found for loss, cost in zip(one.loss, one.dollars, strict=True)]
    for budget in (0.2, 1.0, 3.0, 8.0, 100.0):
        lost, spent, _ = applied(best(found, Wish(budget=budget)), given)
        assert 1000 * spent.mean() <= budget + 1e-9
        assert lost.mean() == pytest.approx(min(loss for loss, cost in rules if 1000 * cost <= budget))
    for most in (0.05, 0.1, 0.3, 0.9):
        lost, spent, _ = applied(best(found, Wish(max_loss=most)), given)
        reachable = [cost for loss, cost in rules if loss <= most] or [None]
        if reachable != [None]:
            assert lost.mean() <= most + 1e-9
            assert spent.mean() == pytest.approx(min(reachable))


def test_own_thresholds_lose_no_more_than_a_shared_one_where_they_are_chosen() -> None:
    given = facts(400, 3)
    wish = Wish(budget=3.0)
    shared, own = (applied(best(search(given, shared=one), wish), given)[0].mean() for one in (True, False))
    assert own <= shared + 0.01  # the grids differ


def test_where_nothing_keeps_the_wish_what_is_nearest_is_taken() -> None:
    given = facts()
    lost, spent, _ = applied(best(search(given), Wish(budget=0.0)), given)
    assert spent.mean() == pytest.approx(given.dollars.mean(axis=1).min())
    lost, _, _ = applied(best(search(given), Wish(max_loss=1e-6)), given)
    assert lost.mean() == pytest.approx(min(float(one.loss.min()) for one in search(given)))


def test_a_cascade_of_recorded_models_is_found_and_measured_on_the_other_half(tmp_path: Path) -> None:
    found = learn_order(make(tmp_path), ["small", "large"], Wish(max_loss=0.03))
    assert found.chosen.stages == ("small", "large")
    assert found.rows[0].stages == ("small", "large")
    assert found.n == 200
    assert found.chosen.loss.value <= 0.03
    # A third is asked of the last stage; all are asked of the first.
    assert found.chosen.dollars_per_1000 == pytest.approx(0.1 + 10 / 3, abs=0.3)
    assert sum(found.chosen.answered.values()) == pytest.approx(1)
    assert found.chosen.answered["small"] == pytest.approx(2 / 3, abs=0.05)
    assert [row.stages for row in found.alone] == [("small",), ("large",)]
    assert found.alone[1].loss.value == pytest.approx(0.02)


def test_a_stage_between_saves_dollars_and_one_that_does_nothing_is_left_out(tmp_path: Path) -> None:
    project = make(tmp_path)
    found = learn_order(project, [], Wish(max_loss=0.03)).chosen
    assert found.stages == ("small", "middle", "large")
    two = learn_order(project, ["small", "large"], Wish(max_loss=0.03)).chosen
    assert found.dollars_per_1000 < two.dollars_per_1000


def test_a_budget_decides_who_can_be_asked(tmp_path: Path) -> None:
    project = make(tmp_path)
    assert learn_order(project, [], Wish(budget=0.15)).chosen.stages == ("small",)
    assert learn_order(project, [], Wish(budget=0.45)).chosen.stages == ("small", "middle")


def test_the_teacher_can_be_who_is_right(tmp_path: Path) -> None:
    project = make(tmp_path)
    object.__setattr__(project.file, "teacher", "large")
    found = learn_order(project, ["large", "small"], Wish(max_loss=0.02), "teacher")
    assert found.alone[-1].stages == ("large",)
    assert found.alone[-1].loss.value == 0
    assert "the last stage's answers" in found.reference


def test_what_cannot_be_ordered_is_said_in_one_line(tmp_path: Path) -> None:
    more = '[candidates.chain]\nfamily = "cascade"\nstages = ["small", "large"]\n'
    project = make(tmp_path, more)
    with pytest.raises(DataError, match=r"the cheapest candidate, 'small', costs 0\.1 dollars per 1,000"):
        learn_order(project, [], Wish(budget=0.05))
    with pytest.raises(DataError, match="no cascade loses less than"):
        learn_order(project, [], Wish(max_loss=0.0001))
    with pytest.raises(UsageError, match="1 candidates to choose from, and it takes 2 to 8"):
        learn_order(project, ["small"], Wish(budget=1))
    assert learn_order(project, [], Wish(budget=1)).left_out == {"chain": "is a cascade itself"}


def test_too_few_examples_are_refused(tmp_path: Path) -> None:
    project = make(tmp_path, n=60)
    with pytest.raises(DataError, match="dev has 60 examples to choose on, and at least 100"):
        learn_order(project, [], Wish(budget=1))


def test_a_candidate_whose_price_is_unknown_is_named(tmp_path: Path) -> None:
    project = recorded_project(tmp_path, MODELS, "", n=120, splits=("dev",), dollars=None)
    with pytest.raises(DataError, match="'small', 'middle', 'large' costs is not known"):
        learn_order(project, [], Wish(budget=1))
