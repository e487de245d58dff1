"""The fields of a record from its JSON Schema; what contradicts itself is found here, before any model is asked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from jsonschema import Draft202012Validator, SchemaError
from jsonschema.exceptions import best_match

from tutelage.errors import TaskFileError
from tutelage.tasks.labelset import short
from tutelage.tasks.normalise import NORMALISERS

_TOP = ("type", "properties", "required", "additionalProperties", "title", "description", "$schema", "$id", "$defs")
_COMMON = ("type", "enum", "const", "title", "description", "default", "examples", "anyOf", "oneOf", "$ref")
_BY_TYPE: dict[str, tuple[str, ...]] = {
    "string": ("minLength", "maxLength", "pattern", "format"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "integer": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "boolean": (),
    "array": ("items", "minItems", "maxItems", "uniqueItems"),
}
_NORMALISERS: dict[str, tuple[str, ...]] = {
    "number": ("number", "exact"),
    "integer": ("number", "exact"),
    "boolean": ("exact",),
}


class FieldSchema(NamedTuple):
    """One field: the schema of a value that is not null, whether null is refused, the normaliser's name."""

    name: str
    schema: dict[str, Any]
    required: bool
    normaliser: str

    @property
    def one(self) -> dict[str, Any]:
        """The schema of one value: of a list's items, else of the field itself."""
        return dict(self.schema["items"]) if self.schema["type"] == "array" else self.schema


def read_schema(schema: Mapping[str, Any], normalisers: Mapping[str, str]) -> tuple[FieldSchema, ...]:
    """The fields in the schema's order. Raises TaskFileError in one line that names the place, and UnknownName."""
    try:
        Draft202012Validator.check_schema(dict(schema))
    except SchemaError as error:
        place = ".".join(str(part) for part in error.absolute_path)
        message = f"{short(error.instance)} is no type. Known: {', '.join(_BY_TYPE)}"
        if error.absolute_path and error.absolute_path[-1] != "type":
            message = error.message
        raise TaskFileError(f"[schema] {place}: {message}.") from None
    _check_keys(schema, _TOP, "")
    properties, required = schema.get("properties"), schema.get("required", [])
    if schema.get("type", "object") != "object" or not properties:
        raise TaskFileError(
            '[schema] must describe an object with fields. Write for instance: [schema.properties] total = {type = "number"}'
        )
    for place, names in (("required", required), ("[normalisers]", normalisers)):
        if unknown := [name for name in names if name not in properties]:
            known = ", ".join(properties)
            raise TaskFileError(f"[schema] {place} names {unknown[0]!r}, which is no field. Fields: {known}.")
    fields = []
    for name, given in properties.items():
        one, nullable = _resolved(given, schema, name)
        one = _checked(one, schema, name)
        fields.append(
            FieldSchema(name, one, name in required and not nullable, _normaliser(name, one, normalisers.get(name)))
        )
    return tuple(fields)


def _resolved(given: Any, root: Mapping[str, Any], name: str) -> tuple[dict[str, Any], bool]:
    """`given` without reference, without null as one of its types, and whether it allowed null."""
    if not isinstance(given, Mapping):
        raise TaskFileError(f"[schema] {name}: {short(given)} describes nothing. Give it a type.")
    one, nullable = dict(given), False
    for _ in range(8):
        if isinstance(reference := one.pop("$ref", None), str):
            target = root.get("$defs", {}).get(reference.removeprefix("#/$defs/"))
            if not isinstance(target, Mapping):
                raise TaskFileError(f"[schema] {name}: there is no {reference!r}. References lead to #/$defs/NAME.")
            one = {**target, **one}
        elif choices := one.pop("anyOf", None) or one.pop("oneOf", None):
            others = [choice for choice in choices if choice != {"type": "null"}]
            if len(others) != 1 or len(others) == len(choices):
                raise TaskFileError(f"[schema] {name}: a field has one type, and null besides it. Choose one.")
            one, nullable = {**others[0], **one}, True
        else:
            break
    if isinstance(one.get("type"), list):
        types = [kind for kind in one["type"] if kind != "null"]
        nullable = nullable or len(types) < len(one["type"])
        one["type"] = types[0] if len(types) == 1 else one["type"]
    if None in one.get("enum", []):
        one["enum"], nullable = [value for value in one["enum"] if value is not None], True
    return one, nullable


def _checked(one: dict[str, Any], root: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The schema of one field with its type, without what cannot be satisfied."""
    if "const" in one:
        one["enum"] = [one.pop("const")]
    if "type" not in one and one.get("enum") and all(isinstance(value, str) for value in one["enum"]):
        one["type"] = "string"
    kind = one.get("type")
    if kind == "object" or (isinstance(kind, list) and "object" in kind) or "properties" in one:
        raise TaskFileError(f"[schema] {name} is an object, but fields are flat. Make its parts fields: {name}_...")
    if not isinstance(kind, str) or kind not in _BY_TYPE:
        raise TaskFileError(
            f"[schema] {name}: a field has one type, found {short(kind)}. Known: {', '.join(_BY_TYPE)}."
        )
    _check_keys(one, (*_COMMON, *_BY_TYPE[kind]), f"{name}: ")
    if kind == "array":
        if not isinstance(one.get("items"), Mapping):
            raise TaskFileError(f'[schema] {name}: say what its items are: items = {{type = "string"}}')
        items, _ = _resolved(one["items"], root, f"{name}.items")
        one["items"] = _checked(items, root, f"{name}.items")
        if one["items"]["type"] == "array":
            raise TaskFileError(f"[schema] {name} is a list of lists, but fields are flat. Make it a list of strings.")
    _check_bounds(one, name)
    _check_values(one, name)
    return one


def _check_keys(schema: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    if unknown := [key for key in schema if key not in known]:
        raise TaskFileError(f"[schema] {where}unknown keyword {unknown[0]!r}. Known: {', '.join(known)}.")


def _check_bounds(one: Mapping[str, Any], name: str) -> None:
    for low, high in (("minLength", "maxLength"), ("minItems", "maxItems")):
        if one.get(low, 0) > one.get(high, math.inf):
            raise TaskFileError(f"[schema] {name}: {low} = {one[low]} is more than {high} = {one[high]}.")
    above = max(one.get("minimum", -math.inf), one.get("exclusiveMinimum", -math.inf))
    below = min(one.get("maximum", math.inf), one.get("exclusiveMaximum", math.inf))
    open = above == one.get("exclusiveMinimum") or below == one.get("exclusiveMaximum")
    if above > below or (above == below and open):
        raise TaskFileError(f"[schema] {name}: no number is above {above} and below {below}. Correct the bounds.")


def _check_values(one: Mapping[str, Any], name: str) -> None:
    """Raises TaskFileError for values of an enum, or a default, that the rest of the schema refuses."""
    rest = Draft202012Validator({key: value for key, value in one.items() if key != "enum"})
    values = one.get("enum")
    if values == []:
        raise TaskFileError(f"[schema] {name}: enum is empty, so nothing could be answered. List its values.")
    for value in [*(values or []), *([one["default"]] if one.get("default") is not None else [])]:
        if wrong := best_match(rest.iter_errors(value)):
            raise TaskFileError(f"[schema] {name}: its value {short(value)} contradicts the rest: {wrong.message}.")
    if values and len({(type(value) is bool, value) for value in values}) < len(values):
        raise TaskFileError(f"[schema] {name}: a value of enum occurs twice. Remove the repetition.")


def _normaliser(name: str, schema: Mapping[str, Any], given: str | None) -> str:
    one = schema["items"] if schema["type"] == "array" else schema
    kind = one["type"]
    if given is None:
        default = "date" if one.get("format") == "date" else "case"
        return {"number": "number", "integer": "number", "boolean": "exact"}.get(kind, default)
    NORMALISERS.load(given)
    if given not in _NORMALISERS.get(kind, (given,)):
        fit = " or ".join(repr(one) for one in _NORMALISERS[kind])
        raise TaskFileError(f"[normalisers] {name} = {given!r} does not go with type {kind!r}. Use {fit}.")
    return given
