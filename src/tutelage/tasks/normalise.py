"""Normalisers: when are two values of a record's field the same? Equal keys, equal values.

A normaliser turns a value as it is written (text, a number, true or false) into its key, and raises ValueError, which
says why, where it cannot. Numbers are read by rules of our own: of the libraries tried, price-parser 0.5.1 reads "-12"
as 12, "0.125" as 125 and "1/2" as 1. Dates are read by dateutil, which guesses less than dateparser and loads in 30 ms.
"""

from __future__ import annotations

import math
import re
import string
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from fractions import Fraction
from typing import Any, TypeAlias

from dateutil import parser

from tutelage.registry import Table
from tutelage.tasks.matching import normal

Key: TypeAlias = str | int | float | bool
Normaliser: TypeAlias = Callable[[Any], Key]

NORMALISERS = Table(
    "normalisers",
    "normaliser",
    {
        "exact": "tutelage.tasks.normalise:exact",
        "case": "tutelage.tasks.normalise:case",
        "words": "tutelage.tasks.normalise:words",
        "number": "tutelage.tasks.normalise:number",
        "date": "tutelage.tasks.normalise:date",
        "date-dmy": "tutelage.tasks.normalise:date_dmy",
        "date-mdy": "tutelage.tasks.normalise:date_mdy",
    },
)

_JSON_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?([eE][-+]?\d{1,3})?")
_FRACTION = re.compile(r"([-+]?)(?:(\d{1,9}) )?(\d{1,9})/(\d{1,9})")
_CURRENCY = r"[A-Z]{3}|[a-zA-Z]{0,3}[^\w\s.,'+\-/]|zł|Kč|kr|Ft|Fr\.?|%"
_DIGITS = r"[1-9]\d{0,2}(?P<group>[.,' ])(?:\d{2,3}(?P=group))*\d{3}|\d+"
_AMOUNT = re.compile(
    rf"(?P<sign>[-+]?) ?(?:{_CURRENCY})? ?(?P<inner>[-+]?)(?P<digits>{_DIGITS})"
    rf"(?:(?!(?P=group))[.,](?P<decimals>\d+))? ?(?:{_CURRENCY})?"
)
_NUMERIC_DATE = re.compile(r"(\d{1,2})([./\- ])(\d{1,2})\2(\d{4}|\d{2})")
_ISO = re.compile(r"(\d{4})-(\d{2})-(\d{2})")


def exact(value: Any) -> Key:
    """The value as it is: text in Unicode form NFC, numbers by their value."""
    return unicodedata.normalize("NFC", value) if isinstance(value, str) else _scalar(value)


def case(value: Any) -> Key:
    """Text under strict matching (`tasks.matching.normal`): case, white space, kinds of quote and dash do not matter."""
    return normal(_text(value))


def words(value: Any) -> Key:
    """As `case`, and punctuation does not matter: "PO-05183-A" is "po 05183 a"."""
    return " ".join(re.findall(r"\w+", normal(_text(value))))


def number(value: Any) -> Key:
    """A number, or text that spells one: "1.651,15", "PLN 1,651.15", "2 270.30 USD", "1'000", "1/2", "2 ½", "9.5 %".

    Text that is a JSON number is that number, so "1.234" is 1.234; "1,234" is 1234 and "12,5" is 12.5. A currency does
    not count. Raises ValueError for anything else, also where "EUR 1.234" can be read in two ways.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError("is not a number")
    if isinstance(value, str):
        value = _spelled(" ".join(unicodedata.normalize("NFKC", _spaced(value)).translate(_SIGNS).split()))
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise ValueError("is not a finite number")
    return int(found) if found.is_integer() and abs(found) < 2**53 else found


def date(value: Any) -> Key:
    """The ISO form of a date, "2026-05-17", of "17 May 2026", "May 17th, 2026", "17.05.2026" or "2026/5/17".

    Months have English names. With full stops and with dashes the day comes first. "03/04/2026" can be read in two
    ways: it raises ValueError, as does what lacks a day, a month or a year. A time of day is left out.
    """
    return _date(_text(value), None)


def date_dmy(value: Any) -> Key:
    """As `date`, where "03/04/2026" is the third of April."""
    return _date(_text(value), True)


def date_mdy(value: Any) -> Key:
    """As `date`, where "03/04/2026" is the fourth of March, also with full stops and dashes."""
    return _date(_text(value), False)


def tokens(key: Key) -> list[str]:
    """The words of a key, for token F1: split at white space, punctuation at their ends left out."""
    text = {True: "true", False: "false"}[key] if isinstance(key, bool) else str(key)
    return [word.strip(string.punctuation) or word for word in text.split()]


_SIGNS = str.maketrans({"−": "-", "–": "-", "⁄": "/", "’": "'"})


def _spaced(text: str) -> str:
    """A space before characters such as ½, so that "2½" is two and a half."""
    return "".join(
        f" {one}" if unicodedata.category(one) == "No" and "⁄" in unicodedata.normalize("NFKC", one) else one
        for one in text
    )


def _spelled(text: str) -> float:
    if _JSON_NUMBER.fullmatch(text):
        return float(text)
    if found := _FRACTION.fullmatch(text):
        sign, whole, above, below = found.groups()
        if int(below) == 0:
            raise ValueError("is not a number")
        parts = float(int(whole or 0) + Fraction(int(above), int(below)))
        return -parts if sign == "-" else parts
    found = _AMOUNT.fullmatch(text)
    if not found or (found["sign"] and found["inner"]):
        raise ValueError("is not a number")
    if found["group"] == "." and found["decimals"] is None and found["digits"].count(".") == 1:
        raise ValueError("can be read in two ways")
    whole = "".join(one for one in found["digits"] if one.isdigit())
    size = float(f"{whole}.{found['decimals'] or 0}")
    return -size if "-" in (found["sign"], found["inner"]) else size


def _date(text: str, day_first: bool | None) -> str:
    if _ISO.fullmatch(text):  # by far the most frequent, and dateutil takes 0.1 ms
        with suppress(ValueError):
            return str(datetime.fromisoformat(text).date())
    text = " ".join(unicodedata.normalize("NFKC", text).split())
    if iso := _ISO.match(text):
        text = iso.group() if text[10:11] in ("", "T", " ") else text
    numeric = _NUMERIC_DATE.fullmatch(text)
    slashed = [int(numeric[1]), int(numeric[3])] if numeric and numeric[2] == "/" else [0, 0]
    if day_first is None and slashed[0] != slashed[1] and max(slashed) <= 12:
        raise ValueError("can be read in two ways; write YYYY-MM-DD")
    first = numeric is not None and numeric[2] != "/" if day_first is None else day_first
    found = []
    # What the text does not say would be taken from the default: two defaults that differ in all show it.
    for default in (datetime(1904, 2, 29), datetime(2003, 12, 1)):
        try:
            found.append(parser.parse(text, default=default, dayfirst=first and not iso).date())
        except (ValueError, OverflowError, TypeError):
            raise ValueError("is not a date") from None
    if found[0] != found[1] or len(text) > 60:
        raise ValueError("is not a whole date")
    return str(found[0])


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(_scalar(value))


def _scalar(value: Any) -> Key:
    if isinstance(value, (bool, int, float)):
        return value
    raise ValueError("is not text, a number or a truth value")
