"""Keys of requests, what may be kept, and what a client's header allows."""

from __future__ import annotations

import itertools
from typing import Any

import hypothesis.strategies as st
import orjson
import pytest
from hypothesis import given

from tutelage.gateway.cache.canonical import IRRELEVANT, request_key
from tutelage.gateway.cache.rule import Asked, Rule, asked, last_user_text

BODY: dict[str, Any] = {"model": "gpt", "messages": [{"role": "user", "content": "Which river is longest?"}]}

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
bodies = st.dictionaries(st.sampled_from(["model", "messages", "tools", "seed", "top_p", "stop"]), json_values)


def shuffled(value: Any) -> Any:
    """The same JSON, every object's keys in reverse."""
    if isinstance(value, dict):
        return {key: shuffled(value[key]) for key in reversed(value)}
    return [shuffled(one) for one in value] if isinstance(value, list) else value


def canonical(body: Any) -> Any:
    whole = {
        name: int(v) if isinstance(v, float) and v.is_integer() else v for name, v in body.items() if v is not None
    }
    try:
        return orjson.dumps(whole, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:
        return None


@given(bodies, st.text(max_size=5))
def test_the_order_of_keys_does_not_matter(body: dict[str, Any], scope: str) -> None:
    assert request_key(body, scope) == request_key(shuffled(body), scope)


@given(bodies, bodies)
def test_keys_are_equal_exactly_for_equal_requests(one: dict[str, Any], two: dict[str, Any]) -> None:
    if canonical(one) is None:
        assert request_key(one, "") is None
    else:
        assert (request_key(one, "") == request_key(two, "")) == (canonical(one) == canonical(two))


@given(bodies, st.dictionaries(st.sampled_from(sorted(IRRELEVANT)), json_values))
def test_fields_that_do_not_change_the_answer_are_left_out(body: dict[str, Any], more: dict[str, Any]) -> None:
    assert request_key(body | more, "") == request_key(body, "")


DIFFERENT: list[dict[str, Any]] = [
    {"model": "other"},
    {"messages": [{"role": "user", "content": "Which river is longest? "}]},
    {"messages": [{"role": "system", "content": "Be brief."}, *BODY["messages"]]},
    {"temperature": 0},
    {"temperature": 0.5},
    {"seed": 1},
    {"max_tokens": 5},
    {"tools": [{"type": "function", "function": {"name": "f"}}]},
    {"response_format": {"type": "json_object"}},
]


def test_whatever_changes_the_answer_changes_the_key() -> None:
    keys = [request_key(BODY | more, "") for more in [{}, *DIFFERENT]] + [request_key(BODY, "team-b")]
    assert all(a != b for a, b in itertools.combinations(keys, 2))


def test_scope_and_body_cannot_be_mistaken_for_each_other() -> None:
    assert request_key({"a": "b"}, "s") != request_key({}, 's",{"a":"b"}')


def test_spellings_of_one_request_meet() -> None:
    assert request_key(BODY | {"temperature": 0.0, "stop": None}, "") == request_key(BODY | {"temperature": 0}, "")


def test_a_body_that_is_not_json_has_no_key() -> None:
    assert request_key({"messages": "\ud800"}, "") is None
    assert request_key({"seed": 2**70}, "") is None


def user(text: str) -> dict[str, Any]:
    return BODY | {"messages": [{"role": "user", "content": text}]}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("What is the weather in Oslo?", "time"),
        ("Who is the CURRENT president?", "time"),
        ("what happened last week", "time"),
        ("Is the shop open now?", "time"),
        ("What time is it?", "time"),
        ("Where is my order?", "person"),
        ("cancel our latest-model booking", "time"),
        ("Change my delivery address.", "person"),
        ("Cafés near me", "person"),
        ("Write to ann.lee+x@example.org please", "data"),
        ("Call +44 20 7946 0958", "data"),
        ("Is 123-45-6789 valid?", "data"),
        ("project falcon", "never"),
    ],
)
def test_what_is_bound_to_a_time_or_a_person_is_not_kept(text: str, why: str) -> None:
    refused = Rule(["[Ff]alcon"]).refuses(user(text))
    assert refused is not None
    assert why in refused


@pytest.mark.parametrize(
    "text",
    [
        "Which river is longest?",
        "Do you know the capital of Norway?",  # "now" only as a part of a word
        "Translate: the snowman knows",
        "My dog is ill. What do dogs die of?",
        "Sum 12345678 and 2026",
        "Explain this week-ending convention"[:12],
        "",
    ],
)
def test_what_is_not_bound_is_kept(text: str) -> None:
    assert Rule().refuses(user(text)) is None


def test_only_the_last_user_message_counts() -> None:
    messages = [
        {"role": "user", "content": "What is the news today?"},
        {"role": "assistant", "content": "I cannot know."},
        {"role": "user", "content": [{"type": "text", "text": "Which river"}, {"type": "text", "text": "is longest?"}]},
        {"role": "assistant", "content": "now"},
    ]
    assert last_user_text({"messages": messages}) == "Which river\nis longest?"
    assert Rule().refuses({"messages": messages}) is None
    assert last_user_text({"input": "a"}) == "a"
    assert last_user_text({"input": ["a", "b"]}) == "a\nb"
    assert last_user_text({"input": {"text": "a", "title": "b"}}) == "a\nb"
    assert last_user_text({"input": [[1, 2]]}) == last_user_text({}) == last_user_text({"messages": [{}]}) == ""


def test_what_sees_only_the_text_may_be_asked_about_today_but_not_about_people() -> None:
    assert Rule().refuses(user("Where is my order of yesterday?"), pure=True) is None
    assert Rule().refuses(user("I am ann@example.org"), pure=True) == "it holds personal data"
    assert Rule(["falcon"]).refuses(user("falcon"), pure=True) == "it matches `never`"


@pytest.mark.parametrize("more", [{"temperature": 0.2}, {"n": 2}, {"temperature": 1}])
def test_what_samples_is_kept_only_where_that_is_wanted(more: dict[str, Any]) -> None:
    assert Rule().refuses(BODY | more) == "it samples"
    assert Rule(sampled=True).refuses(BODY | more) is None


@pytest.mark.parametrize("more", [{}, {"temperature": 0}, {"temperature": None, "n": None}, {"n": 1}])
def test_what_does_not_sample_is_kept(more: dict[str, Any]) -> None:
    assert Rule().refuses(BODY | more) is None


@pytest.mark.parametrize(
    "more",
    [
        {"tools": [{"type": "web_search"}]},
        {"tools": ["odd"]},
        {"web_search_options": {"search_context_size": "low"}},
        {"previous_response_id": "resp_1"},
        {"background": True},
    ],
)
def test_what_depends_on_more_than_the_request_is_not_kept(more: dict[str, Any]) -> None:
    assert Rule(sampled=True).refuses(BODY | more) == "it depends on more than the request"


def test_calls_of_functions_are_text_like_any_other() -> None:
    assert Rule().refuses(BODY | {"tools": [{"type": "function", "function": {"name": "f"}}]}) is None


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, Asked()),
        ("", Asked()),
        ("no-store", Asked(read=False, write=False)),
        ("No-Cache", Asked(read=False)),
        ("max-age=60", Asked(max_age=60)),
        ('max-age="0", no-transform', Asked(max_age=0)),
        ("no-cache, no-store", Asked(read=False, write=False)),
        ("max-age=soon, private", Asked()),
    ],
)
def test_the_header_says_what_is_allowed(header: str | None, expected: Asked) -> None:
    assert asked(header) == expected
