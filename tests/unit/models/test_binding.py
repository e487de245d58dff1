"""What a request says so that the answer has a form, at each kind of endpoint."""

from __future__ import annotations

import json
import re
from typing import Any, get_args

import pytest

from tutelage.errors import ModelError
from tutelage.models.binding import bound, without_bounds
from tutelage.models.chat import Dialect, Params

SCHEMA: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
DIALECTS = get_args(Dialect)
CHOICE, REGEX = Params(structured="choice", choices=("a", 'b "c"')), Params(structured="regex", pattern="^[0-9]+/x$")


@pytest.fixture(autouse=True)
def llguidance() -> None:
    pytest.importorskip("llguidance")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_schema_is_given_to_each_in_its_own_way(dialect: Dialect) -> None:
    body = bound(Params(schema=SCHEMA), dialect).body
    if dialect != "llguidance":
        assert body["response_format"]["json_schema"]["schema"] == SCHEMA
        return
    assert body["grammar"].startswith("%llguidance {}\nstart: %json ")
    assert json.loads(body["grammar"].split("%json ")[1])["x-guidance"]["whitespace_flexible"] is False


@pytest.mark.parametrize(
    ("dialect", "choice", "regex"),
    [
        ("vllm", {"structured_outputs": {"choice": ["a", 'b "c"']}}, {"structured_outputs": {"regex": "[0-9]+/x"}}),
        ("llama.cpp", {"grammar": 'root ::= "a" | "b \\"c\\""'}, None),
        (
            "llguidance",
            {"grammar": '%llguidance {}\nstart: "a" | "b \\"c\\""\n'},
            {"grammar": "%llguidance {}\nstart: /[0-9]+\\/x/\n"},
        ),
    ],
)
def test_choices_and_patterns_go_to_the_servers_that_know_them(dialect: Dialect, choice: object, regex: object) -> None:
    assert bound(CHOICE, dialect).body == choice
    found = bound(REGEX, dialect)
    if regex is not None:
        assert found.body == regex and found.bare("12/x") == "12/x"
    else:
        schema = found.body["response_format"]["json_schema"]["schema"]
        assert schema == {"type": "string", "pattern": "^[0-9]+/x$"} and found.bare('"12/x"') == "12/x"


def test_openai_gets_an_object_around_the_text() -> None:
    found = bound(CHOICE, "openai")
    schema = found.body["response_format"]["json_schema"]["schema"]
    assert schema["properties"] == {"answer": {"type": "string", "enum": ["a", 'b "c"']}}
    assert schema["required"] == ["answer"] and schema["additionalProperties"] is False
    given = ['{"answer": "a"}', "a", '{"other": "a"}', "[1]", '{"answer": "a']
    assert [found.bare(text) for text in given] == ["a", "a", *given[2:]]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_arguments_of_a_call_written_as_text_are_the_answer(dialect: Dialect) -> None:
    found = bound(Params(structured="tool", schema=SCHEMA), dialect)
    assert found.body["tools"][0]["function"]["parameters"] == SCHEMA
    assert found.bare('{"name": "other", "arguments": {"a": "é"}}') == '{"a": "é"}'
    assert found.bare('{"name": "answer", "arguments": {"a":  "b"}}') == '{"a":  "b"}'
    assert [found.bare(text) for text in ("hello", '{"a": 1}')] == ["hello", '{"a": 1}']


@pytest.mark.parametrize(
    ("params", "says"),
    [
        (Params(structured="choice"), "nothing to choose from"),
        (Params(structured="regex", pattern="[0-9"), "is no regular expression: unterminated character set"),
        (Params(structured="regex", pattern="(?=x)x"), "cannot bind an answer: look-around"),
        (
            Params(schema={"type": "integer", "minimum": 5, "maximum": 3}),
            r"minimum \(5\) is greater than maximum \(3\)",
        ),
    ],
)
def test_a_form_that_nothing_fits_is_one_line(params: Params, says: str) -> None:
    with pytest.raises(ModelError, match=says) as caught:
        bound(params, "llguidance")
    assert caught.value.fatal and "\n" not in str(caught.value)


def test_keywords_that_llguidance_does_not_know_bind_nothing() -> None:
    schema = {"type": "array", "items": {"type": "string"}, "uniqueItems": True}
    assert "uniqueItems" in bound(Params(schema=schema), "llguidance").body["grammar"]


@pytest.mark.parametrize("structured", ["schema", "json", "tool", "none"])
def test_without_a_schema_nothing_is_bound(structured: Any) -> None:
    assert [bound(Params(structured=structured), dialect).body for dialect in DIALECTS] == [{}] * len(DIALECTS)


def test_bounds_are_dropped_and_names_kept() -> None:
    schema = {
        "type": "object",
        "properties": {"pattern": {"type": "string", "pattern": "a", "enum": ["minimum"]}},
        "required": ["pattern"],
        "$defs": {"format": {"type": "array", "maxItems": 3, "items": [{"minimum": 1}]}},
    }
    assert without_bounds(schema) == {
        "type": "object",
        "properties": {"pattern": {"type": "string", "enum": ["minimum"]}},
        "required": ["pattern"],
        "$defs": {"format": {"type": "array", "items": [{}]}},
    }


@pytest.mark.parametrize(
    ("pattern", "written"),
    [
        (r"\d+", "[0-9]+"),
        (r"[\d.]\[\d", r"[0-9.]\[[0-9]"),
        (r"a/b\/c", r"a\/b\/c"),
        ("a\nb", r"a\nb"),
        (r"\\d", r"\\d"),
    ],
)
def test_patterns_are_written_as_llguidance_reads_them(pattern: str, written: str) -> None:
    grammar = bound(Params(structured="regex", pattern=pattern), "llguidance").body["grammar"]
    assert grammar == f"%llguidance {{}}\nstart: /{written}/\n"


def test_patterns_are_matched_as_a_whole() -> None:
    found = bound(REGEX, "openai").pattern
    assert found == re.compile("^[0-9]+/x$")
