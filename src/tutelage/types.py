"""The values that pass between rooms. They hold facts and do no work."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

Input: TypeAlias = Mapping[str, str]
"""The task's input fields by name."""

Value: TypeAlias = str | list[str] | dict[str, Any]
"""An answer: a string for `label` and `text`, a list of strings for `strings` and `labels`, JSON by field for `record`."""

Split: TypeAlias = Literal["train", "dev", "calibration", "test"]
"""Students learn from train and are chosen on dev; what is certified is proved on calibration; test is for the report."""
SPLITS: tuple[Split, ...] = ("train", "dev", "calibration", "test")


@dataclass(frozen=True, slots=True)
class Usage:
    """What answering cost. Tokens are counts, `dollars` is None where no price is known, `seconds` is wall time."""

    input_tokens: int = 0
    output_tokens: int = 0
    dollars: float | None = None
    seconds: float = 0.0
    cached_input_tokens: int = 0
    """The part of `input_tokens` that the provider read from its prompt cache."""

    def __add__(self, other: Usage) -> Usage:
        """Sum of both; where one price is unknown, so is the sum's."""
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            None if self.dollars is None or other.dollars is None else self.dollars + other.dollars,
            self.seconds + other.seconds,
            self.cached_input_tokens + other.cached_input_tokens,
        )


@dataclass(frozen=True, slots=True)
class Example:
    """One input of the task. `id` is the hash of the canonical input, so equal inputs meet and never change split."""

    id: str
    input: Input
    split: Split
    group: str | None = None
    synthetic: str | None = None
    """Who wrote the input when no person did, `<model>@<prompt version>`; such examples are only ever in train."""


Standing: TypeAlias = Literal["given", "rejected", "withdrawn"]
"""How a label stands: its source gives this answer, says that it is no answer, or takes back what it said before."""


@dataclass(frozen=True, slots=True)
class Label:
    """An answer somebody gave for an example; labels are appended, never changed.

    `source` is `human:<who>`, `teacher:<model>@<prompt version>`, `weak:<candidate>@<version>` or `import`; `created` is UTC,
    ISO 8601. An answer that a person has rejected stands nowhere, whoever gave it.
    """

    example_id: str
    value: Value
    source: str
    created: str = ""
    note: str | None = None
    distribution: Mapping[str, float] = field(default_factory=dict)
    """Soft label: the source's probability of each answer that it considered, in [0, 1]; {} where it gave none."""
    status: Standing = "given"


@dataclass(frozen=True, slots=True)
class Labelled:
    """An example with the label in force, for training and scoring. `weight` is how much it counts in training, in [0, 1]."""

    example: Example
    value: Value
    source: str
    distribution: Mapping[str, float] = field(default_factory=dict)
    note: str | None = None
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Prediction:
    """An answer of a predictor. A failed one has `value` None and says why in `error`; it counts as wrong.

    `confidence` is raw, in [0, 1], or None where the predictor has none. `note` says what was mended on the way
    (repairs asked for, ungrounded strings dropped). `signals` are all raw confidences in [0, 1] that the predictor has,
    by name (`mean_probability`, `agreement`, `verbalised`, ...); `confidence` is one of them. `parts` is the confidence of
    each part of the answer: of a record's fields by name, of strings and labels by the string; of a single label the
    probability of each that was considered, which a student can learn from (`Label.distribution`).
    """

    value: Value | None
    confidence: float | None = None
    usage: Usage = field(default_factory=Usage)
    source: str = ""
    error: str | None = None
    note: str | None = None
    signals: Mapping[str, float] = field(default_factory=dict)
    parts: Mapping[str, float] = field(default_factory=dict)


@runtime_checkable
class Predictor(Protocol):
    """Everything that answers. Returns one prediction per input, in order; an empty batch gives []."""

    @property
    def name(self) -> str: ...

    async def predict(self, inputs: Sequence[Input]) -> list[Prediction]: ...


def canonical_json(value: object) -> str:
    """`value` as JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def digest(value: object) -> str:
    """First 32 hexadecimal digits (128 bits) of the SHA-256 of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value).encode("utf-8", "surrogatepass")).hexdigest()[:32]


@runtime_checkable
class OneByOne(Predictor, Protocol):
    """A predictor whose answers arrive one at a time (a paid endpoint), so that each can be stored when it does.

    `predict_one` limits its own concurrency: any number of calls may be started at once.
    """

    async def predict_one(self, input: Input) -> Prediction: ...
