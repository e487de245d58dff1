from __future__ import annotations

import tomllib
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.models import Message
from tutelage.models.prices import HOSTS, TABLE, VENDORS, cost, estimated_prompt_tokens, estimated_tokens, listed_price
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


def test_every_price_in_the_table_is_dated_has_a_source_and_is_not_nothing() -> None:
    table = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    assert date.fromisoformat(table["date"]) <= date.today()
    assert set(HOSTS.values()) | set(VENDORS.values()) <= set(table["vendors"])
    for vendor, rows in table["vendors"].items():
        assert rows["source"].startswith("https://"), vendor
        assert rows["models"], vendor
        for model, row in rows["models"].items():
            assert 0 < row["input"] <= row["output"] * 20 < 50_000, model
            assert row.get("cached_input", 0) <= row["input"], model


@pytest.mark.parametrize(
    ("provider", "base_url", "model", "input"),
    [
        ("openai", None, "gpt-5-mini", 0.25),
        ("openai", "https://api.openai.com/v1", "gpt-5-mini-2025-08-07", 0.25),
        ("openai", "http://127.0.0.1:8000/v1", "gpt-5-mini", None),
        ("openai", None, "my-finetune", None),
        ("any-llm", None, "anthropic:claude-haiku-4-5-20251001", 1.0),
        ("any-llm", None, "gemini:gemini-2.5-flash-lite", 0.1),
        ("any-llm", "http://gateway.example", "anthropic:claude-haiku-4-5", None),
        ("any-llm", None, "nobody:gpt-5-mini", None),
        ("gguf", None, "gpt-5-mini", None),
    ],
)
def test_a_price_is_known_where_a_vendor_itself_is_asked(
    provider: str, base_url: str | None, model: str, input: float | None
) -> None:
    found = listed_price(provider, base_url, model)
    assert (found and found.input) == input
    if found:
        assert found.date and found.source and "genai-prices" in found.source and "https://" in found.source


def test_the_price_of_short_prompts_says_so() -> None:
    found = listed_price("openai", "https://generativelanguage.googleapis.com/v1beta/openai", "gemini-2.5-pro")
    assert found and found.source and found.source.endswith("prompts up to 200,000 tokens")
