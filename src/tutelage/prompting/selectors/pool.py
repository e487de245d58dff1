"""The solved examples that shots are chosen from."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property

from tutelage.models.prices import MESSAGE_TOKENS, estimated_tokens
from tutelage.tasks import Task
from tutelage.types import Input, Labelled, digest


class Pool:
    """Solved examples of `task`, numbered in the order given."""

    def __init__(self, task: Task, examples: Sequence[Labelled]) -> None:
        self.task, self.examples = task, tuple(examples)

    def __len__(self) -> int:
        return len(self.examples)

    @cached_property
    def texts(self) -> list[str]:
        return [self.task.input_text(one.example.input) for one in self.examples]

    @cached_property
    def tokens(self) -> list[int]:
        """For each example the estimate of `shot_tokens`."""
        return [shot_tokens(self.task, one) for one in self.examples]

    @cached_property
    def digest(self) -> str:
        return digest([[one.example.id, one.value] for one in self.examples])

    def same(self, input: Input) -> list[int]:
        """The numbers of the examples with this very input."""
        return self._numbers.get(input_key(self.task, input), [])

    def within(self, numbers: Sequence[int], budget: int | None) -> list[int]:
        """`numbers` (best first) without the last ones, as many as must go for the rest to fit the budget of tokens."""
        kept = list(numbers)
        if budget is not None:
            spent = sum(self.tokens[number] for number in kept)
            while spent > budget:
                spent -= self.tokens[kept.pop()]
        return kept

    @cached_property
    def _numbers(self) -> dict[str, list[int]]:
        numbers = defaultdict(list)
        for number, one in enumerate(self.examples):
            numbers[input_key(self.task, one.example.input)].append(number)
        return dict(numbers)


def input_key(task: Task, input: Input) -> str:
    """Equal for equal inputs: a hash of the task's fields in Unicode form NFC."""
    return digest([unicodedata.normalize("NFC", input[field]) for field in task.fields])


def shot_tokens(task: Task, one: Labelled) -> int:
    """An estimate of the prompt's tokens that show `one`: the input and the answer, a message each."""
    texts = task.input_text(one.example.input), task.render(one.value)
    return sum(estimated_tokens(text) + MESSAGE_TOKENS for text in texts)
