"""Rows that cannot be used, kept aside with their line and why."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from tutelage.errors import StoreError


class Rejects:
    """The file of rows that were not taken, made with the first of them; an earlier run's is replaced or removed."""

    def __init__(self, path: Path, source: Path) -> None:
        self.path, self._source = path, source
        self.count = 0
        self.first = ""
        self._file: IO[str] | None = None

    def __enter__(self) -> Rejects:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with _writing(self.path):
            if self._file:
                self._file.close()
            elif kind is None:
                self.path.unlink(missing_ok=True)

    def add(self, line: int, reason: str, row: str | Mapping[str, Any]) -> None:
        reason = reason.rstrip(".")
        self.first = self.first or f"Line {line}: {reason}."
        self.count += 1
        fact = {"file": str(self._source), "line": line, "reason": reason, "row": row}
        with _writing(self.path):
            if not self._file:
                self.path.parent.mkdir(exist_ok=True)
                # Half of a surrogate pair, which JSON text can hold and UTF-8 cannot, is written as its escape.
                self._file = self.path.open("w", encoding="utf-8", errors="backslashreplace")
            self._file.write(json.dumps(fact, ensure_ascii=False, default=str) + "\n")


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror or error}. Free or unlock its folder.") from None
