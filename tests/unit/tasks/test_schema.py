"""The fields of a record from a JSON Schema: what can be written, and what contradicts itself in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tutelage.errors import TaskFileError, UsageError
from tutelage.tasks.file import read_task_file
from tutelage.tasks.record import RecordTask
from tutelage.tasks.schema import read_schema

TEXT = {"type": "string"}


def record(properties: dict[str, Any], **more: Any) -> RecordTask:
    return RecordTask("t", ("text",), "", answer_schema={"properties": properties, **more})


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"type": "strng"}, r"properties.f.type: 'strng' is no type. Known: string, number"),
        (
            {"type": "object", "properties": {"a": TEXT}},
            r"f is an object, but fields are flat. Make its parts fields: f_",
        ),
        ({"type": "array", "items": {"type": "array", "items": TEXT}}, "list of lists, but fields are flat"),
        ({"type": "array", "items": {"type": "object"}}, r"f.items is an object, but fields are flat"),
        ({"type": "array"}, "say what its items are"),
        ({}, "a field has one type, found None. Known: string, number"),
        ({"type": ["string", "number"]}, "a field has one type, found"),
        ({"anyOf": [TEXT, {"type": "number"}]}, "one type, and null besides it"),
        ({"$ref": "#/$defs/Gone"}, "there is no '#/\\$defs/Gone'"),
        ({"type": "string", "minLenght": 3}, "f: unknown keyword 'minLenght'. Known: .*minLength"),
        ({"type": "string", "minimum": 3}, "unknown keyword 'minimum'"),
        ({"type": "string", "minLength": -1}, "minLength: -1 is less than the minimum of 0"),
        ({"type": "string", "minLength": 9, "maxLength": 3}, "minLength = 9 is more than maxLength = 3"),
        ({"type": "array", "items": TEXT, "minItems": 9, "maxItems": 3}, "minItems = 9 is more than maxItems = 3"),
        ({"type": "number", "minimum": 9, "maximum": 3}, "no number is above 9 and below 3"),
        ({"type": "integer", "minimum": 3, "exclusiveMaximum": 3}, "no number is above 3 and below 3"),
        ({"enum": []}, "a field has one type"),
        ({"type": "string", "enum": []}, "enum is empty"),
        ({"type": "string", "enum": ["a", 3]}, "its value 3 contradicts the rest: 3 is not of type 'string'"),
        ({"type": "number", "enum": ["a"]}, "its value 'a' contradicts the rest"),
        ({"type": "string", "enum": ["abc"], "maxLength": 2}, "its value 'abc' contradicts the rest"),
        ({"type": "integer", "default": "x"}, "its value 'x' contradicts the rest"),
        ({"type": "string", "enum": ["a", "a"]}, "enum"),
        ({"type": "string", "pattern": "("}, "pattern: '\\(' is not a 'regex'"),
        (True, "describes nothing. Give it a type"),
    ],
)
def test_a_field_that_contradicts_itself_is_one_line(schema: Any, message: str) -> None:
    with pytest.raises(TaskFileError, match=message) as caught:
        record({"f": schema})
    assert str(caught.value).startswith("[schema] ") and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({}, "must describe an object with fields"),
        ({"properties": {}}, "must describe an object with fields"),
        ({"type": "array", "properties": {"f": TEXT}}, "must describe an object"),
        ({"properties": {"f": TEXT}, "required": ["g"]}, "required names 'g', which is no field. Fields: f."),
        ({"properties": {"f": TEXT}, "required": "f"}, "required: 'f' is not of type 'array'"),
        ({"properties": {"f": TEXT}, "requried": ["f"]}, "unknown keyword 'requried'"),
        ({"properties": {"f": TEXT}, "allOf": []}, "allOf"),
    ],
)
def test_a_schema_that_contradicts_itself_is_one_line(schema: dict[str, Any], message: str) -> None:
    with pytest.raises(TaskFileError, match=message) as caught:
        RecordTask("t", ("text",), "", answer_schema=schema)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("normalisers", "message"),
    [
        ({"g": "date"}, r"\[normalisers\] names 'g', which is no field. Fields: f, n"),
        ({"f": "nubmer"}, "'nubmer' is not a known normaliser. Did you mean 'number'"),
        ({"n": "date"}, r"\[normalisers\] n = 'date' does not go with type 'number'. Use 'number' or 'exact'"),
    ],
)
def test_normalisers_that_do_not_fit(normalisers: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_schema({"properties": {"f": TEXT, "n": {"type": "number"}}}, normalisers)


def test_null_can_be_said_in_every_way() -> None:
    task = record(
        {
            "plain": TEXT,
            "typed": {"type": ["string", "null"]},
            "listed": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/Kind"}], "default": None},
            "value": {"type": "string", "enum": ["a", None]},
            "optional": {"type": "integer"},
        },
        required=["plain", "typed", "listed", "value"],
        **{"$defs": {"Kind": {"enum": ["a", "b"]}}},
    )
    assert [one.name for one in task.answer_fields if one.required] == ["plain"]
    assert task.schema()["properties"] == {
        "plain": {"type": "string", "maxLength": 200},
        "typed": {"type": ["string", "null"], "maxLength": 200},
        "listed": {"type": ["string", "null"], "enum": ["a", "b", None]},
        "value": {"type": ["string", "null"], "enum": ["a", None]},
        "optional": {"type": ["integer", "null"]},
    }


def test_the_schema_asked_of_a_model_is_one_that_strict_modes_take() -> None:
    task = record(
        {
            "day": {"type": "string", "format": "date", "title": "Day", "description": "when"},
            "page": {"type": "string", "format": "uri", "default": "x", "examples": ["y"]},
            "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "uniqueItems": True},
            "n": {"type": "integer", "minimum": 1, "const": 3},
        },
        title="Page",
    )
    assert task.schema() == {
        "type": "object",
        "properties": {
            "day": {"type": ["string", "null"], "description": "when", "format": "date"},
            "page": {"type": ["string", "null"], "maxLength": 200},
            "tags": {"type": ["array", "null"], "items": {"type": "string", "enum": ["a", "b"]}, "maxItems": 40},
            "n": {"type": ["integer", "null"], "minimum": 1, "enum": [3, None]},
        },
        "required": ["day", "page", "tags", "n"],
        "additionalProperties": False,
    }


def test_a_schema_may_stand_in_a_file_of_its_own(tmp_path: Path) -> None:
    head = 'name = "t"\noutput = "record"\nschema = "schema.json"\n'
    (tmp_path / "task.toml").write_text(head + '[normalisers]\nf = "words"\n', encoding="utf-8")
    schema = tmp_path / "schema.json"
    with pytest.raises(TaskFileError, match=r"The schema .*schema.json cannot be read: No such file"):
        read_task_file(tmp_path / "task.toml")
    schema.write_text("{", encoding="utf-8")
    with pytest.raises(TaskFileError, match=r"The schema .*schema.json is not JSON"):
        read_task_file(tmp_path / "task.toml")
    schema.write_text(json.dumps({"properties": {"f": TEXT}}), encoding="utf-8")
    task = read_task_file(tmp_path / "task.toml").task()
    assert isinstance(task, RecordTask) and task.metric == "field_f1"
    assert [(one.name, one.described.normaliser) for one in task.answer_fields] == [("f", "words")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'output = "strings"\n[schema.properties]\nf = {type = "string"}',
            "'schema' does not go with output = 'strings'",
        ),
        ('output = "record"\nlabels = ["a"]', "'labels' does not go with output = 'record'"),
        ('output = "record"\nschema = 3', "schema: input should be a valid dictionary, found 3"),
        ('output = "record"\nshcema = 3', "unknown key 'shcema'. Known: .*, schema, normalisers"),
        (
            'output = "record"\nmetric = "f1"\n[schema.properties]\nf = {type = "string"}',
            "metric = 'f1' .* Known: field_f1",
        ),
    ],
)
def test_keys_of_a_record_task_are_checked(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "task.toml").write_text('name = "t"\n' + text, encoding="utf-8")
    with pytest.raises(TaskFileError, match=message) as caught:
        read_task_file(tmp_path / "task.toml").task()
    assert "\n" not in str(caught.value)
