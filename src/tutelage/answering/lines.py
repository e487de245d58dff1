"""JSON lines in and out, as `tutelage predict` and every exported student read and write them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, TypeAlias

from tutelage.errors import DataError
from tutelage.tasks.identity import canonical_input
from tutelage.types import Input, Prediction

CHUNK = 256
"""Lines that are answered together."""

Given: TypeAlias = tuple[Input | None, str]
"""An input, or None and what is wrong with its line."""


def opened(path: Path) -> IO[str]:
    """The file of inputs at `path`. Raises DataError."""
    try:
        return path.open(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from None


def chunks(lines: IO[str], fields: Sequence[str]) -> Iterator[list[Given]]:
    """The inputs, CHUNK at a time; blank lines are skipped. Raises DataError for what is not UTF-8."""
    chunk: list[Given] = []
    try:
        for number, line in enumerate(lines, 1):
            if line.strip():
                chunk.append(read_input(line, fields, number))
            if len(chunk) == CHUNK:
                yield chunk
                chunk = []
    except UnicodeDecodeError as error:
        raise DataError(
            f"The input is not UTF-8 (byte {error.start}: {error.object[error.start]:#04x}). Convert it."
        ) from None
    if chunk:
        yield chunk


def read_input(line: str, fields: Sequence[str], number: int) -> Given:
    """The input on a JSON line, or None and what is wrong with it."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:
        return None, f"line {number}: not JSON ({error})"
    if not isinstance(entry, Mapping):
        return None, f'line {number}: expected an object like {{"{fields[0]}": "..."}}, found {line.strip()[:40]!r}'
    for field in fields:
        if not isinstance(entry.get(field), str) or not entry[field].strip():
            return None, f"line {number}: field {field!r} is missing, empty or not text; fields: {', '.join(fields)}"
    return canonical_input({field: entry[field] for field in fields}), ""


def answer(id: str | None, prediction: Prediction) -> dict[str, Any]:
    """The line that `predict` writes, which family `replay` reads."""
    usage = prediction.usage
    return {
        "id": id,
        "value": prediction.value,
        "confidence": prediction.confidence,
        "source": prediction.source,
        "usage": {
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "dollars": usage.dollars,
            "seconds": usage.seconds,
            **({"cached_input_tokens": usage.cached_input_tokens} if usage.cached_input_tokens else {}),
        },
        "error": prediction.error,
        **({"note": prediction.note} if prediction.note else {}),
        **({"signals": dict(prediction.signals)} if prediction.signals else {}),
        **({"parts": dict(prediction.parts)} if prediction.parts else {}),
    }
