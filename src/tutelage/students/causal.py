"""Family `causal`: a decoder language model, fine-tuned by LoRA, for every output kind.

Small matrices beside the base's own are trained (Hu et al. 2021), on a GPU also over a base in 4 or 8 bits (QLoRA,
Dettmers et al. 2023), then added to the base's weights: what is served is one GGUF file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from tutelage.errors import TrainingError
from tutelage.project import Project
from tutelage.students.decoder import DecoderStudent, DecoderTuning, Pair
from tutelage.students.family import student_family
from tutelage.tasks.reasoning import reasoning_in
from tutelage.types import Labelled


@dataclass(frozen=True)
class CausalSettings(DecoderTuning):
    """Settings of family `causal`, see `DecoderTuning`."""

    rank: int = 16
    """Of the trained matrices; what they add is scaled by 2."""
    dropout: float = 0.05
    bits: Literal[4, 8, 16] = 16
    """Of a base's weight while it is trained; 4 and 8 need a GPU and the package bitsandbytes."""
    rationale: float = 0.0
    """How much the teacher's reasoning counts beside the answer; 0 leaves it out."""


class CausalStudent(DecoderStudent):
    """See the module's text."""

    family: ClassVar[str] = "causal"

    @classmethod
    def depends(cls, name: str, settings: CausalSettings, project: Project) -> object:
        """The reasoning in the labels, where it is learnt."""
        if not settings.rationale:
            return None
        return [[one.example.id, reasoning_in(one.note)] for one in project.store.labels.read("train", settings.labels)]

    def _taught(self, train: Sequence[Labelled]) -> list[Pair]:
        """The answers, and for each text whose label has one the reasoning (Hsieh et al. 2023)."""
        pairs = super()._taught(train)
        if not self.settings.rationale:
            return pairs
        told = [
            (pair, reasoning) for pair, one in zip(pairs, train, strict=True) if (reasoning := reasoning_in(one.note))
        ]
        if not told:
            raise TrainingError(
                f"rationale = {self.settings.rationale}: none of {len(train)} labels has a reasoning. Label with a teacher that "
                "has reasoning = true, or set rationale = 0."
            )
        weight = self.settings.rationale
        return [*pairs, *(Pair(pair.text, reasoning, weight, explains=True) for pair, reasoning in told)]


FAMILY = student_family(CausalStudent, CausalSettings)
