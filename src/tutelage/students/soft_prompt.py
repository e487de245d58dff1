"""Family `soft-prompt`: a few tokens without words, whose meaning is learnt, before the text; the base stays as it is.

Prompt tuning (Lester et al. 2021): the embeddings of `tokens` new tokens are trained and nothing else. They start as
the embeddings of the task's instructions. They are served as further entries of the base's vocabulary, never written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tutelage.students.decoder import DecoderStudent, DecoderTuning
from tutelage.students.family import student_family


@dataclass(frozen=True)
class SoftPromptSettings(DecoderTuning):
    """Settings of family `soft-prompt`, see `DecoderTuning`."""

    tokens: int = 20


class SoftPromptStudent(DecoderStudent):
    """See the module's text."""

    family: ClassVar[str] = "soft-prompt"

    @property
    def virtual(self) -> int:
        return int(self.settings.tokens)


FAMILY = student_family(SoftPromptStudent, SoftPromptSettings)
