"""Records: what models write is read field by field, and every record survives render and parse."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tutelage.errors import AnswerError
from tutelage.tasks.record import RecordTask
from tutelage.types import Value

INVOICE = RecordTask(
    "invoice",
    ("text",),
    "",
    answer_schema={
        "required": ["vendor"],
        "properties": {
            "vendor": {"type": "string"},
            "day": {"type": "string", "format": "date"},
            "total": {"type": "number", "minimum": 0},
            "pages": {"type": "integer"},
            "currency": {"enum": ["EUR", "USD"]},
            "paid": {"type": "boolean"},
            "orders": {"type": "array", "items": {"type": "string"}, "maxItems": 3, "uniqueItems": True},
        },
    },
)
EMPTY = dict.fromkeys(one.name for one in INVOICE.answer_fields)


def settle(task: RecordTask, value: Value) -> tuple[dict[str, Any], str | None, str | None]:
    settled = task.settle(value, {"text": ""})
    assert isinstance(settled.value, dict)
    return settled.value, settled.problem, settled.note


def settled(answer: Any) -> tuple[dict[str, Any], str | None, str | None]:
    """What is kept of an answer, without what is absent."""
    value, problem, note = settle(INVOICE, INVOICE.parse(json.dumps(answer)))
    return {name: one for name, one in value.items() if one is not None}, problem, note


def test_a_record_has_every_field_in_the_schemas_order() -> None:
    value = INVOICE.canonical({"paid": False, "total": 3.0, "vendor": " Acme ", "other": 1})
    assert isinstance(value, dict)
    assert list(value.items()) == list((EMPTY | {"vendor": "Acme", "total": 3, "paid": False}).items())


def test_a_record_is_written_in_the_schemas_order() -> None:
    value = INVOICE.canonical({"vendor": "Acme", "total": 3})
    assert isinstance(value, dict)
    assert INVOICE.render(dict(sorted(value.items()))) == json.dumps(value)


@pytest.mark.parametrize(
    ("answer", "read"),
    [
        ({"total": "12.5"}, {"total": 12.5}),
        ({"total": "2,270.30 USD"}, {"total": 2270.3}),
        ({"total": 2485.0}, {"total": 2485}),
        ({"pages": "3"}, {"pages": 3}),
        ({"pages": 3.0}, {"pages": 3}),
        ({"day": "17 May 2026"}, {"day": "2026-05-17"}),
        ({"currency": " eur"}, {"currency": "EUR"}),
        ({"paid": "Yes"}, {"paid": True}),
        ({"orders": "A-1"}, {"orders": ["A-1"]}),
        ({"orders": ["A-1", None, " ", "a-1", "B"]}, {"orders": ["A-1", "B"]}),
        ({"orders": [12]}, {"orders": ["12"]}),
        ({"orders": []}, {}),
        ({"vendor": 7, "day": "", "total": None}, {"vendor": "7"}),
        ({"Vendor": "V", "PAGES": 2}, {"vendor": "V", "pages": 2}),
        ({"invoice": {"vendor": "V"}}, {"vendor": "V"}),
        ([{"vendor": "V"}], {"vendor": "V"}),
        ({"vendor": "V", "unknown": {"x": 1}}, {"vendor": "V"}),
    ],
)
def test_values_are_found_in_what_models_write(answer: Any, read: dict[str, Any]) -> None:
    if isinstance(answer, dict) and not {"vendor", "Vendor", "invoice"} & set(answer):
        answer, read = {"vendor": "V", **answer}, {"vendor": "V", **read}
    assert settled(answer) == (read, None, None)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ({"total": "a lot"}, "total: 'a lot' is not a number"),
        ({"total": -1}, "total: -1 is less than the minimum of 0"),
        ({"total": True}, "total: True is not a number"),
        ({"total": [1, 2]}, r"total: \[1, 2\] is not a number"),
        ({"pages": 2.5}, "pages: 2.5 is not of type 'integer'"),
        ({"day": "03/04/2026"}, "day: '03/04/2026' can be read in two ways; write YYYY-MM-DD"),
        ({"currency": "GBP"}, r"currency: 'GBP' is not one of \['EUR', 'USD'\]"),
        ({"paid": 1}, "paid: 1 is not of type 'boolean'"),
        ({"paid": {"x": 1}}, "paid: .* is not of type 'boolean'"),
        ({"orders": list("abcd")}, r"orders: \['a', 'b', 'c', 'd'\] is too long"),
    ],
)
def test_a_field_that_does_not_fit_becomes_null_and_the_rest_counts(answer: dict[str, Any], problem: str) -> None:
    value, told, note = settled({"vendor": "V", **answer})
    assert value == {"vendor": "V"}
    assert told is not None and note is not None
    assert told.startswith("These fields do not fit: ") and "keep the others" in told and "\n" not in told
    with pytest.raises(AssertionError, match=problem):
        raise AssertionError(note)


def test_in_a_list_only_what_does_not_fit_is_left_out() -> None:
    value, problem, _ = settled({"vendor": "V", "orders": ["A", {"x": 1}]})
    assert value == {"vendor": "V", "orders": ["A"]} and "is not of type 'string'" in (problem or "")


def test_a_required_field_that_is_missing_is_told() -> None:
    value, problem, note = settled({"total": 1, "vendor": " "})
    assert value == {"total": 1} and "vendor is missing" in (problem or "") and note == "dropped, vendor is missing"
    assert settled({"vendor": "V", "total": 1}) == ({"vendor": "V", "total": 1}, None, None)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("no idea", "'no idea' is not a JSON object. Expected: {\"vendor\": ..., "),
        ('["a"]', "is not a JSON object"),
        ("3", "3 is not a JSON object"),
        ('{"a": 1, "b": 2}', "has none of the fields"),
        ('{"vendor": "V", "total": NaN}', "NaN is not JSON"),
        ('{"vendor": "V", "total": -Infinity}', "-Infinity is not JSON"),
        ('{"vendor": "V", "orders": ["a {b}', "cut off"),
        ('{"vendor": {"name": "V"}', "cut off"),
    ],
)
def test_what_is_no_record_says_why(answer: str, reason: str) -> None:
    with pytest.raises(AnswerError) as caught:
        INVOICE.parse(answer)
    assert reason in str(caught.value) and len(str(caught.value)) < 250


def test_nothing_found_is_an_answer() -> None:
    task = RecordTask("t", ("text",), "", answer_schema={"properties": {"a": {"type": "string"}}})
    assert settle(task, task.parse("{}")) == ({"a": None}, None, None)


def test_numbers_that_are_none_are_absent_in_tables_and_do_not_fit_elsewhere() -> None:
    value, problem, _ = settle(INVOICE, INVOICE.canonical({"vendor": "V", "total": math.nan, "pages": math.inf}))
    assert value == EMPTY | {"vendor": "V"} and problem is not None and "total" not in problem


def test_what_does_not_fit_stays_until_it_is_settled() -> None:
    value = INVOICE.canonical({"vendor": "V", "total": "a lot"})
    assert value == EMPTY | {"vendor": "V", "total": "a lot"} == INVOICE.canonical(value)


def test_who_reads_dates_in_another_order_reads_other_answers() -> None:
    properties = {"day": {"type": "string", "format": "date"}, "name": {"type": "string"}}
    task = RecordTask(
        "t", ("text",), "", answer_schema={"properties": properties}, normalisers={"day": "date-mdy", "name": "words"}
    )
    assert task.parse('{"day": "03/04/2026"}') == {"day": "2026-03-04", "name": None}
    assert task.reading() == ["day: date-mdy"] and INVOICE.reading() == []


def test_keys_that_differ_in_case_only_are_told_apart() -> None:
    task = RecordTask(
        "t", ("text",), "", answer_schema={"properties": {"a": {"type": "string"}, "A": {"type": "string"}}}
    )
    assert task.canonical({"A": "x", "a": "y"}) == {"a": "y", "A": "x"}


WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)
ENUM = st.lists(WORDS.filter(lambda text: text == text.strip()), min_size=1, max_size=4, unique=True)
SINGLE = st.one_of(
    st.just({"type": "string"}),
    st.just({"type": "string", "format": "date"}),
    st.just({"type": "number"}),
    st.just({"type": "integer"}),
    st.just({"type": "boolean"}),
    ENUM.map(lambda values: {"type": "string", "enum": values}),
)
FIELD = SINGLE | SINGLE.map(lambda one: {"type": "array", "items": one, "maxItems": 40})
PROPERTIES = st.dictionaries(WORDS, FIELD, min_size=1, max_size=5)


def values(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    if schema["type"] == "array":
        return st.lists(values(schema["items"]), max_size=3)
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    kinds: dict[str, st.SearchStrategy[Any]] = {
        "string": st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
        "number": st.floats(allow_nan=False, allow_infinity=False) | st.integers(),
        "integer": st.integers(-(2**53) + 1, 2**53 - 1),
        "boolean": st.booleans(),
    }
    return st.dates().map(str) if schema.get("format") == "date" else kinds[schema["type"]]


@given(st.data())
def test_any_record_of_any_schema_survives_render_and_parse(data: st.DataObject) -> None:
    properties = data.draw(PROPERTIES)
    required = data.draw(st.lists(st.sampled_from(sorted(properties)), unique=True))
    task = RecordTask("t", ("text",), "", answer_schema={"properties": properties, "required": required})
    given = {name: data.draw(values(schema) | st.none()) for name, schema in properties.items()}
    value = task.canonical(given)
    assert task.parse(task.render(value)) == task.canonical(value) == value
    kept, problem, _ = settle(task, value)
    assert list(kept) == list(properties) and task.settle(kept, {"text": ""}).value == kept
    assert (problem is None) == all(kept[name] is not None for name in required)
    if problem is None:
        longest = max((len(one) for one in kept.values() if isinstance(one, str)), default=0)
        assert longest > 200 or Draft202012Validator(task.schema()).is_valid(kept)
    for one in task.answer_fields:
        written: Any = given[one.name]
        blank = any(
            item is None or not str(item).strip() for item in (written if one.listed and written else [written])
        )
        assert blank or problem or one.keys(kept[one.name]) == one.keys(given[one.name])


@given(st.text(max_size=60) | st.recursive(st.none() | st.integers() | st.text(max_size=5), st.lists).map(json.dumps))
def test_any_answer_is_read_or_says_why_not(text: str) -> None:
    try:
        value = INVOICE.parse(text)
    except AnswerError as error:
        assert len(str(error)) < 400
    else:
        assert INVOICE.canonical(value) == value
        assert Draft202012Validator(INVOICE.schema()).is_valid(settle(INVOICE, value)[0] | {"vendor": "V"})
