"""How sure a stage of a cascade is of an answer: one probability of being right, made from the raw confidences it gives.

Of the candidates below the one with the least log loss on dev is taken, each with its own map:
- each named confidence of the predictor (`Prediction.signals`) and its own `confidence`;
- of records and lists the product of the parts' probabilities, each part mapped by itself (a record's fields each by their own
  map, a list's strings by one).

A label with enough right and wrong answers on dev has its own map where that tells more than the map of all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tutelage.evaluation.confidence import brier, calibration_error, part_pairs
from tutelage.evaluation.metrics import Floats
from tutelage.routing.maps import FEWEST, Map, choose_map, fit_map, held_out_loss, log_loss, lower, near_map
from tutelage.tasks import Task
from tutelage.types import Prediction, Value

PRODUCT = "parts"
"""The signal that is the product of the parts' probabilities."""

OWN = "confidence"
"""The signal that is the predictor's own confidence."""

CLASS = 50
"""Answers of a label on dev, at least, for it to have its own map (and FEWEST of them wrong)."""


@dataclass(frozen=True)
class Confidence:
    """`signal` says which raw confidence is mapped. `parts` are the maps of a record's fields (of strings under ""), `labels`
    those of single labels; both fall back to `map`'s kin: "" or `map`."""

    signal: str = OWN
    map: Map = field(default_factory=Map)
    parts: Mapping[str, Map] = field(default_factory=dict)
    labels: Mapping[str, Map] = field(default_factory=dict)

    def of(self, predictions: Sequence[Prediction]) -> Floats:
        """The probability that each answer is right, shape (n,); 0 for a failed answer or one without this confidence."""
        raw = np.array([_raw(one, self.signal, self.parts) for one in predictions], dtype=np.float64)
        found = self.map(np.maximum(raw, 0.0))
        for label, own in self.labels.items():
            having = np.array([one.value == label for one in predictions], dtype=np.bool_)
            found = np.where(having, own(np.maximum(raw, 0.0)), found)
        return np.where(raw < 0, 0.0, found)

    def of_parts(self, prediction: Prediction) -> dict[str, float]:
        """The probability that each part (field or string) of an answer is right."""
        return {name: float(self._part(name)(np.array(raw))) for name, raw in prediction.parts.items()}

    def _part(self, name: str) -> Map:
        return self.parts.get(name) or self.parts.get("") or Map()

    def json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of_json(cls, facts: Mapping[str, Any]) -> Confidence:
        def mapped(one: Mapping[str, Any]) -> Map:
            return Map(one["kind"], tuple(one["parameters"]))

        parts = {name: mapped(one) for name, one in facts["parts"].items()}
        labels = {name: mapped(one) for name, one in facts["labels"].items()}
        return cls(facts["signal"], mapped(facts["map"]), parts, labels)


@dataclass(frozen=True)
class Fitted:
    """What was fitted on dev: scores before (the predictor's own confidence) and after, on the same n answers.

    `losses` are the log losses of the kinds of maps in cross-validation, by "signal: kind".
    """

    confidence: Confidence
    n: int
    right: float
    ece: tuple[float, float]
    brier: tuple[float, float]
    losses: Mapping[str, float]


def fit_confidence(
    task: Task, predictions: Sequence[Prediction], gold: Sequence[Value], right: NDArray[np.bool_], seed: int = 0
) -> Fitted | None:
    """The confidence that tells right from wrong best on these answers; None where the predictor gives none at all.

    `right` has shape (n,); failed answers count as wrong and are told by their value.
    """
    parts = part_maps(task, predictions, gold, seed)
    tried: dict[str, tuple[Confidence, float]] = {}
    losses: dict[str, float] = {}
    for signal in signals_of(predictions, bool(parts)):
        raw = np.array([_raw(one, signal, parts) for one in predictions])
        having = raw >= 0
        if having.sum() < len(raw) - sum(one.value is None for one in predictions):
            continue  # some answers lack it
        chosen, scored = choose_map(raw[having], right[having], seed)
        losses |= {f"{signal}: {kind}": loss for kind, loss in scored.items()}
        mean = scored.get(chosen.kind, float(log_loss(raw[having], right[having]).mean()))
        tried[signal] = (
            Confidence(signal, chosen, parts if signal == PRODUCT or task.output == "record" else {}),
            mean,
        )
    if not tried:
        return None
    best = min(tried, key=lambda signal: (tried[signal][1], signal != OWN))
    confidence = tried[best][0]
    if task.output == "label":
        confidence = Confidence(best, confidence.map, {}, label_maps(confidence, predictions, right, seed))
    own = np.array([max(0.0, _raw(one, OWN, {})) for one in predictions])
    after = confidence.of(predictions)
    eces = calibration_error(own, right), calibration_error(after, right)
    return Fitted(confidence, len(right), float(right.mean()), eces, (brier(own, right), brier(after, right)), losses)


def signals_of(predictions: Sequence[Prediction], parts: bool) -> list[str]:
    """The confidences that every answer gives, the predictor's own first."""
    answered = [one for one in predictions if one.value is not None]
    found = [OWN] if answered and all(one.confidence is not None for one in answered) else []
    found += sorted({name for one in answered for name in one.signals})
    return found + ([PRODUCT] if parts else [])


def part_maps(task: Task, predictions: Sequence[Prediction], gold: Sequence[Value], seed: int) -> dict[str, Map]:
    """The map of each field, and under "" that of all parts together; {} where answers have no parts that can be right or
    wrong. A field that has few right or wrong answers keeps near to what holds of all fields (`near_map`)."""
    if task.output == "label":
        return {}
    pairs: dict[str, list[tuple[float, bool]]] = {"": []}
    for value, one in zip(gold, predictions, strict=True):
        for name, confidence, right in part_pairs(task, value, one):
            pairs[""].append((confidence, right))
            if task.output == "record":
                pairs.setdefault(name, []).append((confidence, right))
    told = {name: _told(found) for name, found in pairs.items() if found}
    if not told:
        return {}
    pooled = fit_map("platt", *told[""]) if _enough(told[""][1]) else Map()
    maps = {"": choose_map(*told[""], seed)[0]}
    for name, own in told.items():
        if name:
            maps[name] = choose_map(*own, seed)[0] if _enough(own[1]) else near_map(pooled, *own)
    return maps


def _told(found: Sequence[tuple[float, bool]]) -> tuple[Floats, NDArray[np.bool_]]:
    return np.array([c for c, _ in found], dtype=np.float64), np.array([r for _, r in found], dtype=np.bool_)


def _enough(right: NDArray[np.bool_]) -> bool:
    return bool(min(right.sum(), (~right).sum()) >= FEWEST)


def label_maps(
    shared: Confidence, predictions: Sequence[Prediction], right: NDArray[np.bool_], seed: int
) -> dict[str, Map]:
    """A Platt map of each label that was answered often enough, and whose log loss in cross-validation it lowers."""
    maps, every = {}, np.array([_raw(one, shared.signal, {}) for one in predictions])
    for label in sorted({one.value for one in predictions if isinstance(one.value, str)}):
        own = np.array([one.value == label for one in predictions])
        if own.sum() >= CLASS and min(right[own].sum(), (~right[own]).sum()) >= FEWEST:
            raw, of_all = np.maximum(every[own], 0.0), log_loss(shared.of(predictions)[own], right[own])
            if lower(held_out_loss("platt", raw, right[own], seed), of_all):
                maps[label] = fit_map("platt", raw, right[own])
    return maps


def _raw(prediction: Prediction, signal: str, parts: Mapping[str, Map]) -> float:
    """The raw confidence called `signal`, -1 where there is none."""
    if prediction.value is None:
        return -1.0
    if signal == PRODUCT:
        shown = Confidence(parts=parts).of_parts(prediction)
        return float(np.prod(list(shown.values()))) if prediction.parts else 1.0
    found = prediction.confidence if signal == OWN else prediction.signals.get(signal)
    return -1.0 if found is None else float(found)
