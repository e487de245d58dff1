"""Rows of a file of examples, read one after the other in bounded memory.

Formats, from the suffix: .csv (comma, quoted as RFC 4180 says, first line = names), .jsonl (one JSON object a line),
either with .gz behind it; .parquet, .parquet.gz, and folders written by `datasets`' `save_to_disk`, which need the extra `data`.

A row that cannot be read is a BadRow and reading goes on behind it. After a quotation mark that is never closed only the
line it stands on is bad: the lines it would have swallowed are read again as rows of their own.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import json
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeAlias

from tutelage.errors import DataError
from tutelage.registry import load

MAX_FIELD = 8 * 2**20
"""Characters a field may have; a longer one is a bad row."""
MAX_LINE = 2 * MAX_FIELD
"""Bytes a line may have; a longer one is a bad row of which only the beginning is kept."""
KEPT = 1000
"""Characters that are kept of a row that is too long."""
_CHUNK = 2**20


@dataclass(frozen=True, slots=True)
class Row:
    """One row by column name. `line` is the line it begins on (1 is the first), for tables the number of the row."""

    line: int
    fields: dict[str, Any]


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be read: where it begins, its text as it stands, and why."""

    line: int
    text: str
    reason: str


Rows: TypeAlias = Iterator[Row | BadRow]


def read_rows(path: Path, suffix: str | None = None) -> Rows:
    """The rows of the file or folder at `path`, read as a file with this `suffix` (without the dot), else with its own.

    Raises DataError, before the first row, for a file that is missing, empty, not UTF-8, damaged or of no known format;
    MissingPackage for a table without the extra `data`.
    """
    if not path.exists():
        raise DataError(f"There is no file {path}.")
    if path.is_dir():
        reader: str | Callable[[Path], Rows] = "tutelage.labels.tables:read_dataset"
    else:
        own = next((known for known in FORMATS if path.name.lower().endswith(known)), None)
        if own is None and suffix is None:
            raise DataError(f"{path} is in no known format. Known: {', '.join(FORMATS)}, and a dataset's folder.")
        reader = FORMATS[f".{suffix}" if suffix else own or ""]
    try:
        if path.is_file() and path.stat().st_size == 0:
            raise DataError(f"{path} is empty.")
        yield from (load(reader, path.name) if isinstance(reader, str) else reader)(path)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path} is not a whole gzip file: {error}. Get it again.") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from None


def checked(row: Row) -> Row | BadRow:
    """The row, or a BadRow when a field is too long."""
    for name, value in row.fields.items():
        if isinstance(value, str) and len(value) > MAX_FIELD:
            reason = f"field {name!r} has {len(value):,} characters, more than the {MAX_FIELD:,} that are allowed"
            return BadRow(row.line, value[:KEPT], f"{reason}; the first {KEPT} are kept")
    return row


def read_csv(path: Path) -> Rows:
    lines = _Lines(path)
    header = next(_records(lines), None)
    if header is None:
        raise DataError(f"{path} is empty.")
    if isinstance(header, BadRow):
        raise DataError(f"{path}: the first line must name the columns, but {header.reason}: {header.text[:60]!r}.")
    names = [name.strip() for name in header[1]]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"{path} has two columns named {twice[0]!r}. Rename one.")
    for record in _records(lines):
        if isinstance(record, BadRow):
            yield record
        elif len(record[1]) != len(names):
            yield BadRow(record[0], record[2], f"it has {len(record[1])} fields where the header has {len(names)}")
        else:
            yield checked(Row(record[0], dict(zip(names, record[1], strict=True))))


def read_jsonl(path: Path) -> Rows:
    for line in _Lines(path):
        if isinstance(line, BadRow):
            yield line
            continue
        number, text = line
        if not text.strip():
            continue
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError) as error:
            yield BadRow(number, text.rstrip("\r\n"), f"it is not JSON: {error}")
            continue
        if isinstance(fields, dict):
            yield checked(Row(number, fields))
        else:
            yield BadRow(number, text.rstrip("\r\n"), "it is not a JSON object")


FORMATS: dict[str, str | Callable[[Path], Rows]] = {
    ".csv": read_csv,
    ".csv.gz": read_csv,
    ".jsonl": read_jsonl,
    ".jsonl.gz": read_jsonl,
    ".parquet": "tutelage.labels.tables:read_parquet",
    ".parquet.gz": "tutelage.labels.tables:read_parquet",
}


def _records(lines: _Lines) -> Iterator[tuple[int, list[str], str] | BadRow]:
    """(number of its first line, fields, text) of each CSV record; blank lines are left out."""
    csv.field_size_limit(2 * MAX_LINE)  # the parser's own bound must not come before that of `_feed`
    taken: list[tuple[int, str]] = []
    overlong: list[BadRow] = []
    parser = csv.reader(_feed(lines, taken, overlong), strict=True)
    while True:
        taken.clear()
        try:
            fields = next(parser, None)
        except csv.Error as error:
            first, *others = taken
            lines.give_back([*others, *overlong])
            yield BadRow(first[0], first[1].rstrip("\r\n"), f"it is not CSV: {error}")
        else:
            if fields:
                yield taken[0][0], fields, "".join(line for _, line in taken).rstrip("\r\n")
            if fields is not None:
                continue
            if not overlong:
                return
            yield from overlong
        overlong.clear()
        parser = csv.reader(_feed(lines, taken, overlong), strict=True)


def _feed(lines: _Lines, taken: list[tuple[int, str]], overlong: list[BadRow]) -> Iterator[str]:
    """The lines' text for a parser, noting what it takes; before an overlong line it ends as a file does."""
    size = 0
    for line in lines:
        if isinstance(line, BadRow):
            overlong.append(line)
            return
        taken.append(line)
        size = len(line[1]) + (size if len(taken) > 1 else 0)
        if size > MAX_LINE:
            raise csv.Error("a quotation mark is not closed")
        yield line[1]


class _Lines:
    """Lines of a text file with their numbers, from 1; an overlong line is a BadRow and is never held whole."""

    def __init__(self, path: Path) -> None:
        _check_encoding(path)
        self._lines = self._read(path)
        self._back: deque[tuple[int, str] | BadRow] = deque()

    def __iter__(self) -> Iterator[tuple[int, str] | BadRow]:
        return self

    def __next__(self) -> tuple[int, str] | BadRow:
        return self._back.popleft() if self._back else next(self._lines)

    def give_back(self, lines: list[tuple[int, str] | BadRow]) -> None:
        self._back.extendleft(reversed(lines))

    @staticmethod
    def _read(path: Path) -> Iterator[tuple[int, str] | BadRow]:
        number = 0
        with _open(path) as file:
            while line := file.readline(MAX_LINE + 1):
                number += 1
                text = (line.removeprefix(codecs.BOM_UTF8) if number == 1 else line).decode("utf-8", "replace")
                if len(line) <= MAX_LINE:
                    yield number, text
                    continue
                size = len(line)
                while not line.endswith(b"\n") and (line := file.readline(_CHUNK)):
                    size += len(line)
                reason = f"the line has {size:,} bytes, more than the {MAX_LINE:,} that are allowed"
                yield BadRow(number, text[:KEPT], f"{reason}; its first {KEPT} characters are kept")


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb")  # type: ignore[return-value]


def _check_encoding(path: Path) -> None:
    """Read the file once, which is fast beside storing it, so that one in another encoding stores nothing."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    offset, line, empty = 0, 1, True
    with _open(path) as file:
        while True:
            chunk = file.read(_CHUNK)
            kept = len(decoder.getstate()[0])  # bytes of a character that the last chunk cut in two
            try:
                text = decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                line += error.object[: error.start].count(b"\n")
                raise _not_utf8(path, line, offset - kept + error.start, error.object[error.start :]) from None
            if offset == 0 and "\0" in text[:4]:
                raise _not_utf8(path, 1, chunk.index(0), chunk[chunk.index(0) :])
            empty = empty and not text.strip("\ufeff \t\r\n")
            if not chunk:
                break
            line += text.count("\n")
            offset += len(chunk)
    if empty:
        raise DataError(f"{path} is empty.")


def _not_utf8(path: Path, line: int, byte: int, found: bytes) -> DataError:
    sixteen = found[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) or b"\0" in found[:2]
    return DataError(
        f"{path} is not UTF-8: line {line}, byte {byte} is 0x{found[0]:02X}. Save it as UTF-8, for instance with: "
        f"iconv -f {'UTF-16' if sixteen else 'WINDOWS-1252'} -t UTF-8 {path.name}"
    )
