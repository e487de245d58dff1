from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.models import Message
from tutelage.models.prices import cost, estimated_prompt_tokens, estimated_tokens
from tutelage.tasks.file import Price
from tutelage.types import Usage


def test_cost_is_per_million_tokens_and_cached_input_has_its_own_price() -> None:
    usage = Usage(input_tokens=1_000_000, output_tokens=100_000, cached_input_tokens=400_000)
    assert cost(Price(input=2.5, output=10, cached_input=1.25), usage) == pytest.approx(0.6 * 2.5 + 0.4 * 1.25 + 1.0)
    assert cost(Price(input=2.5, output=10), usage) == pytest.approx(2.5 + 1.0)
    assert cost(Price(input=2.5, output=10, cached_input=0), usage) == pytest.approx(0.6 * 2.5 + 1.0)
    assert cost(None, usage) is None


@given(st.integers(0, 10**7), st.integers(0, 10**7), st.integers(0, 10**7))
def test_cost_is_never_negative_nor_more_than_uncached(tokens: int, cached: int, output: int) -> None:
    price = Price(input=1.0, output=2.0, cached_input=0.5)
    dollars = cost(price, Usage(tokens, output, cached_input_tokens=cached))
    assert dollars is not None and 0 <= dollars <= (tokens * 1.0 + output * 2.0) / 1e6 + 1e-12


def test_estimates_round_up() -> None:
    assert [estimated_tokens("x" * n) for n in (0, 1, 3, 4)] == [0, 1, 1, 2]
    assert estimated_tokens("猫犬") == 2
    assert estimated_prompt_tokens([Message("user", "x" * 30)]) >= 10
