"""A progress bar on stderr, only where stderr is a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class Advance(Protocol):
    """Move the bar by `n`; `shown` is printed beside it as `name value`, e.g. cost="$0.12"."""

    def __call__(self, n: int = 1, **shown: object) -> None: ...


@contextmanager
def progress(description: str, total: int | None = None, console: Console | None = None) -> Iterator[Advance]:
    """A bar for `total` steps (None: not known); yields the function that advances it. Nothing is drawn off a terminal."""
    console = console or Console(stderr=True)
    if not console.is_terminal:
        yield lambda n=1, **shown: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[beside]}"),
        TimeElapsedColumn(),
        *((TimeRemainingColumn(),) if total is not None else ()),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(description, total=total, beside="")

        def advance(n: int = 1, **shown: object) -> None:
            if shown:
                bar.update(task, beside=" ".join(f"{name} {value}" for name, value in shown.items()))
            bar.advance(task, n)

        yield advance
