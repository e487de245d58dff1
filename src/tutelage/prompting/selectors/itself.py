"""Shots that hold the very example that is asked about: for one check only, whether a model uses what it is shown."""

from __future__ import annotations

from collections.abc import Sequence

from tutelage.prompting.selectors import Selector
from tutelage.prompting.selectors.fixed import FixedShots
from tutelage.prompting.selectors.pool import input_key
from tutelage.tasks import Task
from tutelage.types import Input, Labelled


class AllFixed(FixedShots):
    """All of the shots for every input, the input itself among them."""

    def select(self, input: Input) -> Sequence[Labelled]:
        return self.shots


class WithItself:
    """The shots of `selector` and last, where the most similar one stands, the input's own solved example out of `known`.

    The least similar shot makes room for it, so that there are `most` at most.
    """

    def __init__(self, selector: Selector, task: Task, known: Sequence[Labelled], most: int) -> None:
        self.selector, self.task, self.most = selector, task, most
        self._known = {input_key(task, one.example.input): one for one in known}

    def select(self, input: Input) -> Sequence[Labelled]:
        own, shots = self._known.get(input_key(self.task, input)), list(self.selector.select(input))
        return shots if own is None else [*shots[max(0, len(shots) + 1 - self.most) :], own]

    def facts(self) -> object:
        return {"with itself": self.selector.facts()}


def with_itself(selector: Selector, task: Task, known: Sequence[Labelled], most: int) -> Selector:
    """`selector` without its rule that an example is never shown its own answer. Its answers are no measure of quality."""
    return AllFixed(selector.shots) if isinstance(selector, FixedShots) else WithItself(selector, task, known, most)
