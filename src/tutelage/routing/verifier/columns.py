"""What a verifier sees of an answer.

confidences  the log odds of each raw confidence (`Prediction.signals` and `confidence`), and whether it is missing
parts        the least and the mean log odds of the parts and how many there are; of a record those of each field; of a label
             how far the most probable label is ahead of the next, and the entropy
answer       its length; of a record the fields left empty; a column for each answer that dev has often
beside       where another candidate is asked too: whether it gave the same answer, which share of parts agrees, how sure it is
novelty      how unlike the texts of train the input is (`routing.novelty`)
input        what a router sees of the input (`routing.router.features`), where that helps
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tutelage.answering.features import Rows
from tutelage.embeddings.runtime import Array
from tutelage.evaluation.metrics import Floats
from tutelage.prompting.voting import form_of, text_form
from tutelage.routing.novelty import Gate
from tutelage.routing.router.features import BUCKETS, Features, Seen
from tutelage.tasks import Task
from tutelage.types import Input, Prediction, Value, canonical_json

SHARED = 5
"""Answers on dev that must be the same for them to get a column."""
EDGE = 1e-4
"""Confidences are kept so far from 0 and 1: log odds beyond that say no more."""


@dataclass(frozen=True)
class Asked:
    """n inputs, the answers to them (none of them failed), and those of the candidate beside (None: there is none)."""

    inputs: Sequence[Input]
    answers: Sequence[Prediction]
    beside: Sequence[Prediction] | None = None


@dataclass(frozen=True)
class Columns:
    """Fitted on the answers that a verifier learns from: names of `signals`, `fields` of a record, frequent `answers` (as
    JSON); `mean` and `scale` (d,) of the columns before those of the input. `gate` and `inputs` are None where not used."""

    task: Task
    signals: tuple[str, ...]
    fields: tuple[str, ...]
    answers: tuple[str, ...]
    mean: Array
    scale: Array
    gate: Gate | None = None
    inputs: Features | None = None

    def __call__(self, asked: Asked) -> Seen:
        """The rows of n answers; without the input's features its terms are empty."""
        own = (raw_columns(self, asked) - self.mean) * self.scale
        if self.inputs is None:
            nothing = Rows(np.empty(0, np.float32), np.empty(0, np.int32), np.zeros(len(own) + 1, np.int64), BUCKETS)
            return Seen(nothing, own, [""] * len(own))
        seen = self.inputs(asked.inputs)
        return seen._replace(dense=np.hstack([own, seen.dense]))

    def facts(self) -> dict[str, Any]:
        """For JSON; `mean`, `scale`, the gate and the input's features are kept as arrays."""
        return {"signals": list(self.signals), "fields": list(self.fields), "answers": list(self.answers)}


def fit_columns(task: Task, asked: Asked, gate: Gate | None, inputs: Features | None) -> Columns:
    """Columns that know the confidences, fields and frequent answers in `asked`."""
    often = Counter(canonical_json(one.value) for one in asked.answers)
    described = getattr(task, "answer_fields", ())
    raw = Columns(
        task,
        tuple(sorted({name for one in asked.answers for name in one.signals})),
        tuple(one.name for one in described),
        tuple(sorted(answer for answer, n in often.items() if n >= SHARED)),
        np.zeros(0, np.float32),
        np.zeros(0, np.float32),
        gate,
        inputs,
    )
    found = raw_columns(raw, asked)
    spread = found.std(axis=0)
    # A column of frequent answers stays 0 or 1: at unit variance the rarest would weigh most.
    once = len(raw.answers)
    scale = np.where(spread > 1e-6, 1 / np.maximum(spread, 1e-6), 0.0)
    mean = found.mean(axis=0)
    if once:
        scale[-once:], mean[-once:] = 1.0, 0.0
    return Columns(
        task, raw.signals, raw.fields, raw.answers, mean.astype(np.float32), scale.astype(np.float32), gate, inputs
    )


def raw_columns(columns: Columns, asked: Asked) -> Array:
    """(n, d) float32 before they are standardised."""
    rows = []
    places = {answer: at for at, answer in enumerate(columns.answers)}
    for at, one in enumerate(asked.answers):
        row = _confidences(columns, one) + _parts(columns, one) + _shape(one.value)
        if asked.beside is not None:
            row += _beside(columns.task, one, asked.beside[at])
        rows.append(row)
    dense = np.array(rows, np.float32).reshape(len(rows), -1)
    blocks: list[Floats | Array] = [dense]
    if columns.gate is not None:
        texts = [columns.task.input_text(one) for one in asked.inputs]
        blocks.append(columns.gate.scores(texts).reshape(-1, 1))
    often = np.zeros((len(rows), len(places)), np.float32)
    for at, one in enumerate(asked.answers):
        if (place := places.get(canonical_json(one.value))) is not None:
            often[at, place] = 1
    return np.hstack([*blocks, often]).astype(np.float32)


def log_odds(confidence: float | None) -> float:
    """0 where there is none."""
    if confidence is None:
        return 0.0
    kept = min(1 - EDGE, max(EDGE, confidence))
    return math.log(kept / (1 - kept))


def _confidences(columns: Columns, one: Prediction) -> list[float]:
    given = [one.confidence, *(one.signals.get(name) for name in columns.signals)]
    return [value for found in given for value in (log_odds(found), float(found is None))]


def _parts(columns: Columns, one: Prediction) -> list[float]:
    if isinstance(one.value, str):
        first, second, *_ = sorted((*one.parts.values(), 0.0, 0.0), reverse=True)
        entropy = -sum(p * math.log(p) for p in one.parts.values() if p > 0)
        return [log_odds(first) - log_odds(second) if one.parts else 0.0, entropy]
    odds = [log_odds(confidence) for confidence in one.parts.values()]
    found = [min(odds, default=0.0), sum(odds) / len(odds) if odds else 0.0, math.log1p(len(odds))]
    return found + [log_odds(one.parts.get(field)) for field in columns.fields]


def _shape(value: Value | None) -> list[float]:
    if isinstance(value, dict):
        empty = sum(held in (None, "", []) for held in value.values())
        return [math.log1p(len(canonical_json(value))), float(empty)]
    if isinstance(value, list):
        return [math.log1p(len(value)), math.log1p(sum(map(len, value)))]
    return [math.log1p(len(value or "")), 0.0]


def _beside(task: Task, one: Prediction, other: Prediction) -> list[float]:
    """Same answer, share of agreeing parts, the other's confidence if it agrees and if it does not, and whether it failed."""
    if other.value is None:
        return [0.0, 0.0, 0.0, 0.0, 1.0]
    share = agreement(task, one.value, other.value)
    same, sure = float(share == 1), log_odds(other.confidence)
    return [same, share, same * sure, (1 - same) * sure, 0.0]


def agreement(task: Task, one: Value | None, other: Value | None) -> float:
    """The share in [0, 1] that two answers have in common: of a record's fields, of all strings that either holds."""
    if isinstance(one, dict) and isinstance(other, dict):
        fields: Mapping[str, Any] = {**one, **other}
        same = [form_of(task, field)(one.get(field)) == form_of(task, field)(other.get(field)) for field in fields]
        return sum(same) / len(same) if same else 1.0
    form = text_form(task)
    if isinstance(one, list) and isinstance(other, list):
        ours, theirs = ({form(text) for text in value} for value in (one, other))
        return len(ours & theirs) / len(ours | theirs) if ours | theirs else 1.0
    return float(form(str(one)) == form(str(other)))
