"""What is kept of a trace: matches are blanked, and of some only who, when and what it cost."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from tutelage.errors import TaskFileError
from tutelage.store import Step, Trace

BLANK = "[redacted]"

Blank: TypeAlias = Callable[[str], str]


def make_blank(patterns: Sequence[str]) -> Blank | None:
    """What blanks the matches of `patterns` in a text, None where there are none. Raises TaskFileError for a bad one."""
    found = []
    for pattern in patterns:
        try:
            found.append(re.compile(pattern))
        except re.error as error:
            raise TaskFileError(f"[traces] redact: {pattern!r} is not a regular expression: {error}.") from None

    def blank(text: str) -> str:
        for pattern in found:
            text = pattern.sub(BLANK, text)
        return text

    return blank if found else None


def redacted(trace: Trace, blank: Blank) -> Trace:
    """The trace with all texts of its input, output, steps, error and note blanked; the names in JSON objects are kept."""
    steps = tuple(
        replace(step, answer=_blanked(step.answer, blank), error=step.error and blank(step.error))
        for step in trace.steps
    )
    return replace(
        trace,
        input=_blanked(trace.input, blank),
        output=_blanked(trace.output, blank),
        steps=steps,
        error=trace.error and blank(trace.error),
        note=trace.note and blank(trace.note),
    )


def slim(trace: Trace) -> Trace:
    """Who, when and what it cost, without what was said."""
    return replace(trace, input=None, output=None, steps=tuple(map(_slim, trace.steps)), note=None)


def chosen(id: str, share: float) -> bool:
    """Whether the trace is among the `share` whose input and output are kept: the same for one id wherever it is asked."""
    return share >= 1 or zlib.crc32(id.encode()) < share * 2**32


def _slim(step: Step) -> Step:
    return step if step.answer is None else replace(step, answer=None)


def _blanked(value: Any, blank: Blank) -> Any:
    if isinstance(value, str):
        return blank(value)
    if isinstance(value, Mapping):
        return {name: _blanked(item, blank) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_blanked(item, blank) for item in value]
    return value
