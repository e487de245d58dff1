"""Family `causal`: a decoder language model, fine-tuned by LoRA, for every output kind.

Small matrices beside the base's own are trained (Hu et al. 2021), on a GPU also over a base in 4 or 8 bits (QLoRA,
Dettmers et al. 2023), then added to the base's weights: what is served is one GGUF file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from tutelage.students.decoder import DecoderStudent, DecoderTuning
from tutelage.students.family import student_family


@dataclass(frozen=True)
class CausalSettings(DecoderTuning):
    """Settings of family `causal`, see `DecoderTuning`."""

    rank: int = 16
    """Of the trained matrices; what they add is scaled by 2."""
    dropout: float = 0.05
    bits: Literal[4, 8, 16] = 16
    """Of a base's weight while it is trained; 4 and 8 need a GPU and the package bitsandbytes."""


class CausalStudent(DecoderStudent):
    """See the module's text."""

    family: ClassVar[str] = "causal"


FAMILY = student_family(CausalStudent, CausalSettings)
