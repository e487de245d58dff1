"""What a search found: the best challenger beside the hand-written prompt, on the same examples of dev."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tutelage.errors import StoreError
from tutelage.evaluation.estimates import Estimate
from tutelage.evaluation.intervals import difference, estimate
from tutelage.evaluation.metrics import Metric, Statistic
from tutelage.evaluation.search.variants import Shots, Variant, Written
from tutelage.tasks import Task
from tutelage.types import Labelled, Prediction

PROMPT = "prompt.json"


@dataclass(frozen=True)
class Measured:
    """A prompt, the task's main metric of its answers to the first examples of dev, and what they took."""

    variant: Variant
    statistic: Statistic
    n: int
    input_tokens: float
    """Mean of the prompts that were sent."""

    @property
    def score(self) -> float:
        return float(np.ravel(self.statistic(np.arange(self.n)[None, :]))[0])

    def facts(self) -> dict[str, Any]:
        figures = _rounded(estimate(self.statistic, self.n))
        return self.variant.facts() | {"score": figures, "input_tokens": round(self.input_tokens, 1)}


def measured(
    task: Task, metric: Metric, variant: Variant, examples: Sequence[Labelled], answers: Sequence[Prediction]
) -> Measured:
    """`answers` to `examples`, scored; failed ones count as wrong."""
    statistic = metric(task, [one.value for one in examples], [answer.value for answer in answers])
    sent = [answer.usage.input_tokens for answer in answers if answer.usage.input_tokens]
    return Measured(variant, statistic, len(examples), sum(sent) / len(sent) if sent else 0.0)


@dataclass(frozen=True)
class Found:
    """`best` is the best challenger. It was chosen on the very examples it is compared on, so its score promises rather
    more than it will keep; `facts` is the rest of what there is to tell."""

    metric: str
    hand_written: Measured
    best: Measured
    rest: Mapping[str, Any]

    @property
    def replaced(self) -> bool:
        """Whether the challenger is better on dev; else the hand-written prompt stays."""
        return self.best.score > self.hand_written.score + 1e-12

    @property
    def chosen(self) -> Measured:
        return self.best if self.replaced else self.hand_written

    @property
    def difference(self) -> Estimate:
        return difference(self.best.statistic, self.hand_written.statistic, self.best.n)

    def facts(self) -> dict[str, Any]:
        paired = self.difference
        told = f"{self.best.score:.3f} beside {self.hand_written.score:.3f} of the hand-written prompt"
        interval = f"{paired.value:+.3f}, {paired.low:+.3f} to {paired.high:+.3f}"
        verdict = "" if self.replaced else ", so the hand-written prompt stays"
        return {
            "summary": f"{self.best.variant}: {self.metric} {told} on {self.best.n} of dev ({interval}){verdict}",
            "metric": self.metric,
            "n": self.best.n,
            "replaced": self.replaced,
            "hand_written": self.hand_written.facts(),
            "best": self.best.facts(),
            "difference": _rounded(paired),
            **self.rest,
        }

    def save(self, folder: Path) -> None:
        content = {"prompt": self.chosen.variant.facts()} | self.facts()
        text = json.dumps(content, indent=2, ensure_ascii=False)
        (folder / PROMPT).write_text(text + "\n", encoding="utf-8")


def read_prompt(folder: Path) -> Variant:
    """The prompt that was chosen. Raises StoreError when the artefact in `folder` cannot be read."""
    try:
        found = json.loads((folder / PROMPT).read_text(encoding="utf-8"))["prompt"]
        written = Written(str(found["instructions"]), str(found["origin"]))
        return Variant(written, Shots(int(found["shots"]), str(found["selector"])))
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise StoreError(f"The prompt in {folder} cannot be read: {reason}. Search again: delete the folder.") from None


def _rounded(figures: Estimate) -> dict[str, float]:
    return {name: round(value, 4) for name, value in asdict(figures).items()}
