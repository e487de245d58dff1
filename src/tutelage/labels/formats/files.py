"""Text and JSON files, opened for writing, and read line by line or whole."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from tutelage.errors import DataError
from tutelage.labels.formats.base import Found, Unfit
from tutelage.labels.readers import BadRow, Row, read_jsonl


def opened(path: Path, newline: str | None = "\n") -> IO[str]:
    """`path` for writing UTF-8, gzipped where its name ends so."""
    if path.suffix.lower() == ".gz":
        return gzip.open(path, "wt", encoding="utf-8", newline=newline)
    return path.open("w", encoding="utf-8", newline=newline)


def read_lines(path: Path, found: Callable[[Row], Found]) -> Iterator[Found | BadRow]:
    """What is found in each line of JSON; a BadRow for a line that cannot be read or of which `found` raises Unfit."""
    for row in read_jsonl(path):
        if isinstance(row, BadRow):
            yield row
            continue
        try:
            yield found(row)
        except Unfit as error:
            yield BadRow(row.line, json.dumps(row.fields, ensure_ascii=False), str(error))


def write_list(path: Path, items: Iterable[Any]) -> None:
    """A JSON list, an item a line, one item in memory at a time."""
    with opened(path) as file:
        between = "[\n"
        for item in items:
            file.write(between + json.dumps(item, ensure_ascii=False))
            between = ",\n"
        file.write("[]\n" if between == "[\n" else "\n]\n")


def read_list(path: Path, what: str) -> list[Any]:
    """The JSON list in `path`, a single object as a list of one. Raises DataError where there is none."""
    try:
        with gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb") as file:
            found = json.loads(file.read().decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 (byte {error.start}). Save it as UTF-8.") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON: {error}. Export it from {what} again.") from None
    except (gzip.BadGzipFile, EOFError) as error:
        raise DataError(f"{path} is not a whole gzip file: {error}. Get it again.") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from None
    found = [found] if isinstance(found, dict) else found
    if not isinstance(found, list):
        raise DataError(f"{path} is no list of JSON objects. Export it from {what} again.")
    return found
