"""One field of a record: reading what was written for it, and when two of its values are the same."""

from __future__ import annotations

import json
import math
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from tutelage.tasks import normalise
from tutelage.tasks.labelset import LabelSet, short
from tutelage.tasks.matching import normal
from tutelage.tasks.normalise import NORMALISERS, Key, Normaliser
from tutelage.tasks.schema import FieldSchema

MAX_ITEMS = 40
MAX_LENGTH = 200
"""Bounds in the schema asked of a model where a field has none of its own: small models loop without them."""

_KEPT = ("description", "pattern", "format", "minLength", "maxLength", "minItems", "maxItems")
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_FORMATS = ("date", "date-time", "time", "duration", "email", "hostname", "ipv4", "ipv6", "uuid")
"""Those that strict modes take; others are for people."""
_TRUTH = {"true": True, "yes": True, "false": False, "no": False}


class Read(NamedTuple):
    """A field's value as far as it fits (None: absent), and what did not fit."""

    value: Any
    problems: Sequence[str] = ()


@dataclass(frozen=True)
class Field:
    """A field of a record: text, a number, a truth value, a date, one of an enum, or a list of one of those."""

    described: FieldSchema

    @property
    def name(self) -> str:
        return self.described.name

    @property
    def required(self) -> bool:
        """Whether the answer must have it; the others may be null."""
        return self.described.required

    @property
    def listed(self) -> bool:
        return bool(self.described.schema["type"] == "array")

    def asked(self) -> dict[str, Any]:
        """The schema as asked of a language model: bounded, and with null where the field may be absent."""
        asked = _asked(self.described.schema)
        if not self.required:
            asked["type"] = [asked["type"], "null"]
            if "enum" in asked:
                asked["enum"] = [*asked["enum"], None]
        return asked

    def read(self, value: Any) -> Read:
        """`value` in its canonical form. In a list, what does not fit is left out."""
        if _absent(value) or (self.listed and value == [] and not self.required):
            return Read(None, [f"{self.name} is missing"] if self.required else [])
        if not self.listed:
            try:
                return Read(self._one(value))
            except ValueError as error:
                return Read(None, [f"{self.name}: {error}"])
        items, problems = [], []
        for item in value if isinstance(value, list) else [value]:
            try:
                items += [] if _absent(item) else [self._one(item)]
            except ValueError as error:
                problems.append(f"{self.name}: {error}")
        if self.described.schema.get("uniqueItems"):
            items = list({self._key(item): item for item in reversed(items)}.values())[::-1]
        if not problems and (wrong := best_match(self._whole.iter_errors(items))):
            problems.append(f"{self.name}: {_message(wrong.message)}")
            items = []
        return Read(items or ([] if self.required and not problems else None), problems)

    def keys(self, value: Any) -> Counter[Key]:
        """How often each normalised value occurs: none for null, one, or those of a list."""
        if value is None:
            return Counter()
        return Counter(self._key(one) for one in (value if isinstance(value, list) else [value]))

    def tokens(self, value: Any) -> Counter[str]:
        """How often each word of the normalised value occurs."""
        return Counter(word for key in self.keys(value).elements() for word in normalise.tokens(key))

    def _key(self, value: Any) -> Key:
        try:
            return self._normaliser(value)
        except ValueError:  # not of the kind that the normaliser reads: then it equals what is written alike
            return normal(value if isinstance(value, str) else json.dumps(value, default=str))

    def _one(self, value: Any) -> Any:
        """One value in its canonical form. Raises ValueError saying why there is none."""
        kind, schema = self.described.one["type"], self.described.one
        if self._choices:
            value = (self._choices.find(value) if isinstance(value, str) else None) or value
        elif kind in ("number", "integer"):
            value = self._as(normalise.number, value)
        elif kind == "boolean":
            value = _TRUTH.get(normal(value), value) if isinstance(value, str) else value
        elif schema.get("format") == "date":
            value = self._as(self._date, value)
        elif kind == "string" and not isinstance(value, bool):
            value = _text(value)
        if wrong := best_match(self._validator.iter_errors(value)):
            raise ValueError(_message(wrong.message))
        return value

    def _as(self, reading: Normaliser, value: Any) -> Key:
        try:
            return reading(value)
        except ValueError as error:
            raise ValueError(f"{short(value)} {error}") from None

    @cached_property
    def _normaliser(self) -> Normaliser:
        found: Normaliser = NORMALISERS.load(self.described.normaliser)
        return found

    @property
    def _date(self) -> Normaliser:
        return self._normaliser if self.described.normaliser.startswith("date") else normalise.date

    @cached_property
    def _choices(self) -> LabelSet | None:
        values = self.described.one.get("enum") or []
        return LabelSet(values) if values and all(isinstance(value, str) for value in values) else None

    @cached_property
    def _validator(self) -> Draft202012Validator:
        return Draft202012Validator(self.described.one)

    @cached_property
    def _whole(self) -> Draft202012Validator:
        return Draft202012Validator(self.described.schema)


def _asked(schema: dict[str, Any]) -> dict[str, Any]:
    kind = schema["type"]
    asked = {"type": kind} | {key: schema[key] for key in (*_KEPT, *_BOUNDS, "enum") if key in schema}
    if asked.get("format") not in _FORMATS:
        asked.pop("format", None)
    if kind == "array":
        asked["items"] = _asked(schema["items"])
        asked.setdefault("maxItems", MAX_ITEMS)
    elif kind == "string" and not {"enum", "format", "pattern"} & set(asked):
        asked.setdefault("maxLength", MAX_LENGTH)
    return asked


def _text(value: Any) -> Any:
    """Text in form NFC without spaces at its ends; a number as text."""
    if isinstance(value, (int, float)):
        return json.dumps(value)
    return unicodedata.normalize("NFC", value).strip() if isinstance(value, str) else value


def _absent(value: Any) -> bool:
    """Null, blank text, and not-a-number, which is how tables spell null."""
    return (
        value is None
        or (isinstance(value, str) and not value.strip())
        or (isinstance(value, float) and math.isnan(value))
    )


def _message(text: str) -> str:
    return text if len(text) <= 160 else f"{text[:78]} ... {text[-78:]}"
