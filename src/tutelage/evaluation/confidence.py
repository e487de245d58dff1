"""Which confidence to trust: how well each raw confidence of a candidate tells its right answers from its wrong ones.

**Right** is a main-metric score of 1: the right label, exactly the right strings, a record right in every field. A metric
that has no score per example counts equal values. Free text is never right or wrong: there, right means that the answer
scores above the median of the candidate's own answers, and neither ECE nor Brier score is given.

**AUROC** is the chance that of a right and a wrong answer the right one has the higher confidence (ties count half): 1
always, 0.5 says nothing. **ECE** is the expected calibration error (Naeini et al. 2015) over at most 15 bins of equal mass
(Nixon et al. 2019), equal confidences in one bin. The **Brier score** is the mean of (confidence - right) squared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tutelage.evaluation.estimates import Estimate
from tutelage.evaluation.intervals import estimate
from tutelage.evaluation.metrics import Floats
from tutelage.prompting.voting import form_of
from tutelage.tasks import Task
from tutelage.tasks.matching import normal
from tutelage.types import Prediction, Value

BINS = 15
PARTS = "parts"
"""The name under which the confidences of fields or strings are judged together."""


@dataclass(frozen=True)
class Trust:
    """What one confidence of a candidate is worth.

    `n` answers (for "parts": parts of answers) have it, which is `share` of all examples (of all answers); `right` is the
    share of the n that are right. `used` says that it is the confidence which the candidate gives. `auroc` is None where
    there is nothing to tell apart (all right, all wrong) or all confidences are the same, as `note` says.
    """

    candidate: str
    signal: str
    used: bool
    n: int
    share: float
    right: float
    auroc: Estimate | None
    ece: float | None
    brier: float | None
    note: str = ""

    def json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Auroc:
    """AUROC of m judged confidences that belong to examples, so that whole examples can be drawn again.

    `confidence`, `right` and `owner` (index of the example) have shape (m,). A draw without right or without wrong ones
    gives 0.5: it tells nothing.
    """

    confidence: Floats
    right: NDArray[np.bool_]
    owner: NDArray[np.int64]

    def __call__(self, draws: NDArray[np.int64]) -> Floats:
        rows, n = draws.shape[0], int(max(draws.max(), self.owner.max())) + 1
        flat = (draws + np.arange(rows)[:, None] * n).ravel()
        times = np.bincount(flat, minlength=rows * n).reshape(rows, n)
        order = np.argsort(self.confidence, kind="stable")
        _, starts = np.unique(self.confidence[order], return_index=True)
        drawn = np.take(times, self.owner[order], axis=1)
        right = drawn * self.right[order]
        wrong = drawn - right
        if len(starts) < len(order):  # equal confidences count as one
            right, wrong = (np.add.reduceat(counts, starts, axis=1) for counts in (right, wrong))
        below = np.cumsum(wrong, axis=1) - wrong
        won = (right * (below + wrong / 2)).sum(axis=1)
        pairs = right.sum(axis=1) * wrong.sum(axis=1)
        return np.where(pairs > 0, won / np.maximum(pairs, 1), 0.5)


class Judged(NamedTuple):
    """Confidences that were judged, shape (m,) each, and which example each belongs to."""

    confidence: Floats
    right: NDArray[np.bool_]
    owner: NDArray[np.int64]


def trust(
    task: Task, candidate: str, gold: Sequence[Value], predictions: Sequence[Prediction], scores: Sequence[float]
) -> list[Trust]:
    """Each confidence that `candidate` gives, the most telling first. `scores` are the main metric's, one an example."""
    right, n, is_text = _right(task, scores, predictions), len(predictions), task.output == "text"
    rows = []
    for signal, confidences in signals(predictions).items():
        judged = _judged([[] if c is None else [(c, ok)] for c, ok in zip(confidences, right, strict=True)])
        used = all(p.confidence == c for p, c in zip(predictions, confidences, strict=True))
        rows.append(_row((candidate, signal), used, judged, n, is_text))
    pairs = [_parts(task, value, p) for value, p in zip(gold, predictions, strict=True)]
    if any(pairs):
        rows.append(_row((candidate, PARTS), False, _judged(pairs), n, is_text))
    return sorted(rows, key=lambda row: (row.signal == PARTS, -(row.auroc.value if row.auroc else 0.0), row.signal))


def signals(predictions: Sequence[Prediction]) -> dict[str, list[float | None]]:
    """Every raw confidence by name, one an answer, None where an answer has none.

    The candidate's `confidence` is listed by itself only where it is none of the named ones.
    """
    names = sorted({name for p in predictions for name in p.signals})
    found: dict[str, list[float | None]] = {name: [p.signals.get(name) for p in predictions] for name in names}
    given = [p.confidence for p in predictions]
    if any(c is not None for c in given) and given not in found.values():
        found["confidence"] = given
    return found


def calibration_error(confidence: Floats, right: NDArray[np.bool_], bins: int = BINS) -> float:
    """ECE over at most `bins` bins of equal mass; equal confidences share a bin, so that their order does not matter."""
    edges = np.unique(np.quantile(confidence, np.linspace(0, 1, bins + 1)[1:-1], method="lower"))
    bin_of = np.searchsorted(edges, confidence, side="left")
    count = np.bincount(bin_of, minlength=len(edges) + 1)
    gap = np.bincount(bin_of, weights=confidence - right, minlength=len(edges) + 1)
    return float(np.abs(gap[count > 0]).sum() / len(confidence))


def brier(confidence: Floats, right: NDArray[np.bool_]) -> float:
    """Mean of (confidence - right) squared."""
    return float(np.mean((confidence - right) ** 2))


def _right(task: Task, scores: Sequence[float], predictions: Sequence[Prediction]) -> list[bool]:
    if task.output != "text":
        return [score == 1.0 for score in scores]
    answered = [score for score, p in zip(scores, predictions, strict=True) if p.value is not None]
    middle = float(np.median(answered)) if answered else 0.0
    above = [score > middle for score in scores]
    return above if any(above) else [score >= middle for score in scores]


def _judged(found: Sequence[Sequence[tuple[float, bool]]]) -> Judged:
    """From (confidence, right) pairs by example."""
    flat = [(confidence, right, owner) for owner, pairs in enumerate(found) for confidence, right in pairs]
    confidence, right, owner = zip(*flat, strict=True)
    return Judged(np.array(confidence, dtype=np.float64), np.array(right, dtype=np.bool_), np.array(owner))


def _row(name: tuple[str, str], used: bool, judged: Judged, n: int, is_text: bool) -> Trust:
    confidence, right, owner = judged
    count, share, accuracy = len(right), len(np.unique(owner)) / n, float(right.mean())
    ece = brier_score = None
    if not is_text:
        ece, brier_score = calibration_error(confidence, right), brier(confidence, right)
    if note := _says_nothing(judged):
        return Trust(*name, used, count, share, accuracy, None, ece, brier_score, note)
    drawn, position = np.unique(owner, return_inverse=True)
    auroc = estimate(Auroc(confidence, right, position), len(drawn))
    return Trust(*name, used, count, share, accuracy, auroc, ece, brier_score)


def _says_nothing(judged: Judged) -> str:
    """Why there is no AUROC, or ""."""
    n = len(judged.right)
    if judged.right.all():
        return f"all {n} right"
    if not judged.right.any():
        return f"all {n} wrong"
    return "the same for all" if np.ptp(judged.confidence) == 0 else ""


def _parts(task: Task, gold: Value, prediction: Prediction) -> list[tuple[float, bool]]:
    return [(confidence, right) for _, confidence, right in part_pairs(task, gold, prediction)]


def part_pairs(task: Task, gold: Value, prediction: Prediction) -> list[tuple[str, float, bool]]:
    """(name, confidence, right) of each field of a record, or of each string of a list, that has a confidence."""
    if prediction.value is None or not prediction.parts:
        return []
    if isinstance(gold, dict) and isinstance(prediction.value, dict):
        forms = {field: form_of(task, field) for field in prediction.parts}
        right = {field: form(gold.get(field)) == form(prediction.value.get(field)) for field, form in forms.items()}
        return [(field, confidence, right[field]) for field, confidence in prediction.parts.items()]
    if isinstance(gold, str):  # the parts are other labels' probabilities, of which all but one are meant to be wrong
        return []
    wanted = {normal(text) for text in gold}
    return [(text, confidence, normal(text) in wanted) for text, confidence in prediction.parts.items()]
