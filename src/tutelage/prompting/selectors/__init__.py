"""Shot selectors: which solved examples stand in the prompt about an input. One file a few ways to choose, one row each.

selector = build_selector(task, pool, ShotOptions(selector="bm25", shots=5))
shots = selector.select(input)      # in the order in which the prompt shows them, the most similar last
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from tutelage.registry import Table
from tutelage.tasks import Task
from tutelage.types import Input, Labelled

if TYPE_CHECKING:
    from tutelage.embeddings.encoder import Encoder


class Selector(Protocol):
    """Chooses shots; the same for the same input, never the input itself. Safe to call from several threads."""

    def select(self, input: Input) -> Sequence[Labelled]:
        """The shots for `input`, in the order in which they are shown."""
        ...

    def facts(self) -> object:
        """What decides the choice, as JSON: it goes into the prompt's version."""
        ...


@dataclass(frozen=True, kw_only=True)
class ShotOptions:
    """`shots` is how many at most, `shot_tokens` how many tokens they may take together (None: no bound).

    `seed` decides the choice of `random` only.
    """

    selector: str = "fixed"
    shots: int = 0
    shot_tokens: int | None = None
    seed: int = 0


SELECTORS = Table(
    "selectors",
    "shot selector",
    {
        "fixed": "tutelage.prompting.selectors.fixed:build_fixed",
        "random": "tutelage.prompting.selectors.drawn:RandomShots",
        "jaccard": "tutelage.prompting.selectors.words:JaccardShots",
        "bm25": "tutelage.prompting.selectors.words:Bm25Shots",
        "nearest": "tutelage.prompting.selectors.vectors:NearestShots",
        "mmr": "tutelage.prompting.selectors.vectors:MmrShots",
        "balanced": "tutelage.prompting.selectors.balanced:BalancedShots",
    },
)
"""A row is called with (task, pool, options, encoder or None) and gives a Selector."""


def build_selector(
    task: Task, pool: Sequence[Labelled], options: ShotOptions, encoder: Encoder | None = None
) -> Selector:
    """The selector over `pool`, which is of train only. Its order breaks ties.

    Cheap: words are indexed and the pool is encoded at the first `select`. Raises UnknownName for a selector that does
    not exist, UsageError where it needs an encoder or does not go with the task's output.
    """
    selector: Selector = SELECTORS.load(options.selector)(task, pool, options, encoder)
    return selector


__all__ = ["SELECTORS", "Selector", "ShotOptions", "build_selector"]
