"""Family `setfit`: a sentence encoder tuned on pairs of texts, with logistic regression on its embeddings.

Tunstall et al. 2022, "Efficient Few-Shot Learning Without Prompts": pairs of texts with the same label are drawn together
and others apart, so that a few examples of a label give many pairs to learn from. Pairs of texts are alike that share a
label, where several may apply. Tuned by the library `setfit`; the head, and how it answers, are those of `linear`.

Meant for few examples. The pairs are as many as `effort` says, of at most MAX_EXAMPLES examples, drawn with the seed; the
head is fitted on all.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from tutelage import registry
from tutelage.answering.features import EMBEDDING
from tutelage.embeddings.encoder import OnnxEncoder
from tutelage.errors import TrainingError
from tutelage.store import Origin
from tutelage.students.base import FitContext
from tutelage.students.family import student_family
from tutelage.students.linear import LinearStudent
from tutelage.students.logistic import Parts
from tutelage.students.sizing import Effort
from tutelage.types import Labelled

TUNE = "tutelage.students.finetune.contrast:tune"
PAIRS: dict[str, int] = {"low": 500, "medium": 2000, "high": 8000}
MAX_EXAMPLES = 1500
"""All pairs of the examples are enumerated before some are drawn: a million of them are."""


@dataclass(frozen=True)
class SetFitSettings:
    """`base` is a sentence encoder: a folder (relative to the project) or a Hugging Face name.

    `pairs` are the most pairs of texts to learn from; None means by effort. `max_length` counts tokens: longer texts are
    cut while the encoder is tuned, and windowed in use.
    """

    base: str
    labels: Origin = "any"
    effort: Effort = "medium"
    pairs: int | None = None
    learning_rate: float = 2e-5
    batch_size: int = 16
    max_length: int = 256
    quantise: Literal["auto", "int8", "none"] = "auto"
    max_int8_loss: float = 0.005
    threads: int | None = None
    seed: int = 0

    def most_pairs(self) -> int:
        return self.pairs or PAIRS[self.effort]


class SetFitStudent(LinearStudent):
    """See the module's text."""

    family: ClassVar[str] = "setfit"
    weighs: ClassVar[bool] = False
    """The pairs would not heed it."""
    tuned_at: ClassVar[float] = 0.95

    def _options(self) -> tuple[Parts, ...]:
        return ((EMBEDDING,),)

    def _encoder(self, learnt: Sequence[Labelled], context: FitContext) -> tuple[OnnxEncoder, dict[str, Any]]:
        kinds = {tuple(one.value) if isinstance(one.value, list) else one.value for one in learnt}
        if len(kinds) < 2:
            raise TrainingError(
                f"'setfit' learns from texts of different labels, and all {len(learnt)} examples to learn from have "
                f"{next(iter(kinds))!r}. Add examples of other labels."
            )
        tune = registry.load(TUNE, "setfit")
        few = list(learnt)
        if len(few) > MAX_EXAMPLES:
            few = random.Random(self.settings.seed).sample(few, MAX_EXAMPLES)
        sets = [set(one.value) if isinstance(one.value, list) else {str(one.value)} for one in few]
        labels = sorted(set().union(*sets))
        targets = [[int(label in one) for label in labels] for one in sets]
        folder = context.folder / "encoder"
        facts = tune(self._texts(few), targets, self.settings, context, folder, self.tuned_at)
        return OnnxEncoder(folder, self.settings.threads), facts


FAMILY = student_family(SetFitStudent, SetFitSettings)
