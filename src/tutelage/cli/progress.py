"""A progress bar on stderr, only where stderr is a terminal."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class Advance(Protocol):
    """Move the bar by `n`; `shown` is printed beside it as `name value`, e.g. cost="$0.12"."""

    def __call__(self, n: int = 1, **shown: object) -> None: ...


class State(Protocol):
    """How far something is; see `evaluation.harness.Progress`."""

    @property
    def done(self) -> int: ...
    @property
    def total(self) -> int: ...
    @property
    def dollars(self) -> float: ...


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


@contextmanager
def sharing(description: str) -> Iterator[Callable[[float, Mapping[str, object]], None]]:
    """A bar in hundredths; yields what to tell the share that is done, and what to show beside it."""
    with progress(description, 100) as advance:
        done = 0

        def tell(share: float, shown: Mapping[str, object]) -> None:
            nonlocal done
            step = max(0, math.floor(share * 100) - done)
            done += step
            advance(step, **{str(key): value for key, value in shown.items() if key != "n"})

        yield tell


@contextmanager
def telling() -> Iterator[Callable[[str, State], None]]:
    """Yields what to tell how far each of several things is: each has a bar of its own, drawn when it is first told of."""
    with ExitStack() as stack:
        bars: dict[str, tuple[Advance, int]] = {}

        def tell(what: str, state: State) -> None:
            if what not in bars:
                stack.close()  # one bar at a time: what was told of before has ended
                bars[what] = stack.enter_context(progress(what, state.total)), 0
            advance, last = bars[what]
            advance(state.done - last, **({"cost": f"${state.dollars:.4f}"} if state.dollars else {}))
            bars[what] = advance, state.done

        yield tell
