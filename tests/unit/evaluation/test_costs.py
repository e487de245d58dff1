"""Costs are the published ones where the raw figures are known, and unknown where a price is."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from tutelage.evaluation.costs import api_cost, cost_of, hardware_cost
from tutelage.models.prices import cost
from tutelage.tasks.file import Hardware, Price
from tutelage.types import Usage

PUBLISHED = [
    json.loads(line)
    for line in (Path(__file__).parents[2] / "fixtures" / "published_costs.jsonl").read_text().splitlines()
]
"""Facts of github.com/honicky/character-extraction: seconds, tokens, unit prices, and the cost per story it publishes.

`priced_stories` is what its cost per story is divided by: 190 for every API, though the same runs answered 194 stories.
Costs are published in dollars with six decimals, so ours must round to them.
"""
HALF_A_UNIT = 0.5e-6


def named(system: str) -> dict[str, Any]:
    return next(one for one in PUBLISHED if one["system"] == system)


@pytest.mark.parametrize(
    "one", [one for one in PUBLISHED if "total_dollars" in one], ids=lambda one: str(one["system"])
)
def test_published_cost_of_an_api(one: dict[str, Any]) -> None:
    price = Price(input=one["dollars_per_million_input"], output=one["dollars_per_million_output"])
    dollars = cost(price, Usage(one["input_tokens"], one["output_tokens"]))
    assert dollars == pytest.approx(one["total_dollars"], rel=1e-9)
    stories = one["priced_stories"]
    found = api_cost([Usage(dollars=dollars / stories)] * stories).dollars_per_1000
    assert found is not None
    assert abs(found / 1000 - one["published_dollars_per_story"]) <= HALF_A_UNIT


@pytest.mark.parametrize("one", [one for one in PUBLISHED if "gpu" in one], ids=lambda one: str(one["system"]))
def test_published_cost_of_hardware(one: dict[str, Any]) -> None:
    first, *rest = one["gpu_dollars_per_hour"]
    per_hour = first * rest[0] / rest[1] if rest else first
    hardware = Hardware(name=one["gpu"], dollars_per_hour=per_hour, occupancy=one["occupancy"])
    found = hardware_cost(one["seconds"] / one["priced_stories"], hardware)
    assert found.dollars_per_1000 is not None
    assert abs(found.dollars_per_1000 / 1000 - one["published_dollars_per_story"]) <= HALF_A_UNIT
    assert one["gpu"] in found.basis and "50% occupancy" in found.basis


def test_all_published_systems_are_reproduced() -> None:
    assert len(PUBLISHED) == 10 and named("t5-large LoRA")["published_dollars_per_story"] == 2.8e-05


def test_occupancy_pays_for_the_idle_time() -> None:
    busy, idle = (hardware_cost(2, Hardware(dollars_per_hour=3.6, occupancy=o)).dollars_per_1000 for o in (1, 0.25))
    assert (busy, idle) == pytest.approx((2.0, 8.0))


def test_an_unknown_price_is_unknown_not_nothing() -> None:
    unknown = hardware_cost(1.5, Hardware())
    assert unknown.dollars_per_1000 is None and "dollars_per_hour" in unknown.basis and "1.5 s" in unknown.basis
    assert api_cost([]).dollars_per_1000 is None
    none = api_cost([Usage(10, 2), Usage(10, 2)])
    assert none.dollars_per_1000 is None and "[prices]" in none.basis
    some = api_cost([Usage(10, 2, 0.5), Usage(10, 2)])
    assert some.dollars_per_1000 is None and "1 of 2 answers" in some.basis


def test_nothing_timed_is_unknown_but_free_hardware_is_free() -> None:
    assert hardware_cost(0.0, Hardware(dollars_per_hour=1)).dollars_per_1000 is None
    assert hardware_cost(math.nan, Hardware(dollars_per_hour=1)).dollars_per_1000 is None
    assert hardware_cost(1.0, Hardware(dollars_per_hour=0)).dollars_per_1000 == 0.0


def test_a_candidate_is_billed_by_its_dollars_else_by_its_seconds() -> None:
    paid, local = [Usage(10, 2, 0.002)] * 4, [Usage(10, 2)] * 4
    hired = Hardware(name="T4", dollars_per_hour=0.36, occupancy=1)
    assert cost_of("llm", paid, 1.0, hired).dollars_per_1000 == pytest.approx(2.0)
    assert cost_of("llm", paid, 1.0, hired).basis == "API price per token"
    price = Price(input=1, output=2, date="2026-11-21", source="https://example.com")
    assert (
        cost_of("llm", paid, 1.0, hired, price=price).basis == "API price per token of 2026-11-21, https://example.com"
    )
    assert cost_of("recorded", paid, 1.0, hired).basis == "recorded dollars"
    assert cost_of("llm", local, 1.0, hired).dollars_per_1000 == pytest.approx(0.1)
    assert "[hardware]" in cost_of("llm", local, 1.0, Hardware()).basis
    hosted = cost_of("llm", local, 1.0, hired, hosted=True)
    assert hosted.dollars_per_1000 is None and "[prices]" in hosted.basis
    assert "[hardware]" in cost_of("student", [Usage()], 1.0, Hardware()).basis
    assert cost_of("student", [Usage()], 1.0, hired).dollars_per_1000 == pytest.approx(0.1)
