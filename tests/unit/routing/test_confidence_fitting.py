"""How sure a stage is: of a label, of a record by its fields, of a list by its strings."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit

from tutelage.routing.confidence import OWN, PRODUCT, Confidence, Fitted, fit_confidence, signals_of
from tutelage.routing.maps import KINDS, Map
from tutelage.tasks import Task
from tutelage.tasks.label import LabelTask
from tutelage.tasks.record import RecordTask
from tutelage.tasks.strings import StringsTask
from tutelage.types import Prediction, Value

LABEL = LabelTask("tone", ("text",), "", "accuracy", labels=("happy", "sad"))
STRINGS = StringsTask("names", ("text",), "", "f1")
RECORD = RecordTask(
    "bill", ("text",), "", answer_schema={"properties": {"vendor": {"type": "string"}, "total": {"type": "number"}}}
)


def fitted(task: Task, predictions: list[Prediction], gold: list[Value], right: list[bool]) -> Fitted:
    found = fit_confidence(task, predictions, gold, np.array(right))
    assert found is not None
    return found


def drawn(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    probability = rng.beta(2, 1, n)
    return probability, rng.random(n) < probability


def test_the_signal_that_tells_most_is_taken() -> None:
    probability, right = drawn(800)
    noise = np.random.default_rng(1).random(800)
    predictions = [
        Prediction("happy", float(noise[at]), signals={"agreement": float(probability[at])}) for at in range(800)
    ]
    found = fitted(LABEL, predictions, ["happy"] * 800, right.tolist())
    assert found.confidence.signal == "agreement"
    assert found.brier[1] < found.brier[0]
    assert found.ece[1] < 0.05 < found.ece[0]
    assert found.n == 800
    assert found.right == right.mean()


def test_labels_that_are_wrong_differently_have_maps_of_their_own() -> None:
    probability, right = drawn(1200)
    labels = np.where(np.arange(1200) % 2, "happy", "sad")
    raw = np.where(labels == "happy", expit(3 * logit(probability)), expit(logit(probability) / 3))
    predictions = [Prediction(str(label), float(c)) for label, c in zip(labels, raw, strict=True)]
    found = fitted(LABEL, predictions, labels.tolist(), right.tolist()).confidence
    assert set(found.labels) == {"happy", "sad"}
    assert np.abs(found.of(predictions) - probability).mean() < 0.03
    rare = [*predictions, *(Prediction("rare", 0.5) for _ in range(20))]
    few = fitted(LABEL, rare, ["happy"] * len(rare), [*right.tolist(), *[True, False] * 10]).confidence
    assert "rare" not in few.labels


def test_labels_that_are_wrong_alike_share_a_map() -> None:
    own = 0
    for seed in range(6):
        probability, right = drawn(600, seed)
        labels = np.where(np.arange(600) % 2, "happy", "sad")
        raw = expit(3 * logit(probability))
        predictions = [Prediction(str(label), float(c)) for label, c in zip(labels, raw, strict=True)]
        found = fitted(LABEL, predictions, labels.tolist(), right.tolist()).confidence
        assert found.map != Map()
        own += len(found.labels)
    assert own <= 3


def test_a_failed_answer_or_one_without_confidence_is_not_trusted() -> None:
    confidence = Confidence(map=Map("platt", (1.0, 3.0)), labels={"sad": Map("platt", (1.0, 3.0))})
    found = confidence.of([Prediction(None, 0.9, error="no"), Prediction("sad"), Prediction("happy", 0.9)])
    assert found[:2].tolist() == [0.0, 0.0]
    assert found[2] > 0.99
    assert confidence.of([]).shape == (0,)


def test_a_predictor_without_confidence_has_none() -> None:
    answers = [Prediction("happy")] * 30
    assert fit_confidence(LABEL, answers, ["happy"] * 30, np.ones(30, dtype=np.bool_)) is None
    some = [Prediction("happy", 0.5), *answers]
    assert signals_of(some, parts=False) == []
    assert fit_confidence(LABEL, some, ["happy"] * 31, np.ones(31, dtype=np.bool_)) is None
    failed = [Prediction(None, error="no")] * 5
    assert fit_confidence(LABEL, failed, ["happy"] * 5, np.zeros(5, dtype=np.bool_)) is None
    assert signals_of([Prediction("happy", 0.5), *failed], parts=False) == [OWN]


def record(seed: int, n: int = 800) -> tuple[list[Prediction], list[Value], list[bool]]:
    """The vendor is as sure as it says, the total is far too sure; the record's own confidence is noise."""
    rng = np.random.default_rng(seed)
    vendor, total = rng.beta(8, 1, n), rng.beta(8, 1, n)
    right = np.stack([rng.random(n) < vendor, rng.random(n) < total], axis=1)
    predictions = [
        Prediction(
            {"vendor": "Acme" if right[at, 0] else "Other", "total": 10.0 if right[at, 1] else 11.0},
            float(rng.random()),
            parts={"vendor": float(vendor[at]), "total": float(expit(3 * logit(total[at])))},
        )
        for at in range(n)
    ]
    return predictions, [{"vendor": "Acme", "total": 10.0}] * n, [bool(one.all()) for one in right]


def test_a_record_is_as_sure_as_its_fields_each_by_its_own_map() -> None:
    predictions, gold, right = record(0)
    confidence = fitted(RECORD, predictions, gold, right).confidence
    assert confidence.signal == PRODUCT
    assert set(confidence.parts) == {"", "vendor", "total"}
    shown = confidence.of_parts(predictions[0])
    assert shown["vendor"] == pytest.approx(predictions[0].parts["vendor"], abs=0.05)
    assert shown["total"] < predictions[0].parts["total"]
    other, _, is_right = record(1, 3000)
    sure = confidence.of(other)
    assert np.abs(sure.mean() - np.mean(is_right)) < 0.02
    assert np.mean(np.array(is_right)[sure > 0.9]) > 0.9


def test_a_list_is_as_sure_as_its_strings_and_an_empty_one_is_sure() -> None:
    rng = np.random.default_rng(2)
    predictions, gold, right = [], [], []
    for at in range(600):
        sure = rng.beta(4, 1, rng.integers(0, 3))
        true = rng.random(len(sure)) < sure
        names = [f"Name {at} {number}" for number in range(len(sure))]
        predictions.append(Prediction(list(names), 0.5, parts=dict(zip(names, map(float, sure), strict=True))))
        gold.append([name for name, ok in zip(names, true, strict=True) if ok])
        right.append(bool(true.all()))
    confidence = fitted(STRINGS, predictions, list(gold), right).confidence
    assert confidence.signal == PRODUCT
    assert set(confidence.parts) == {""}
    two = next(one for one in predictions if len(one.parts) == 2)
    least = min(confidence.of_parts(two).values())
    assert confidence.of([two])[0] < least + 0.1
    assert confidence.of([Prediction([], 0.5)])[0] > 0.9


numbers = st.floats(-20, 20, allow_nan=False)
maps = st.one_of(
    st.just(Map()),
    st.builds(lambda a: Map("temperature", (a,)), numbers),
    st.builds(lambda a, b: Map("platt", (a, b)), numbers, numbers),
    st.builds(lambda a, b, c: Map("beta", (a, b, c)), numbers, numbers, numbers),
    st.just(Map("isotonic", (0.1, 0.9, 0.3, 0.7))),
)
by_name = st.dictionaries(st.text(max_size=5), maps, max_size=3)


@given(st.builds(Confidence, st.sampled_from([OWN, PRODUCT, "agreement"]), maps, by_name, by_name))
def test_a_confidence_comes_back_from_json_as_it_was(one: Confidence) -> None:
    facts: dict[str, Any] = json.loads(json.dumps(one.json()))
    back = Confidence.of_json(facts)
    assert back == one
    answers = [Prediction("a", 0.3, signals={"agreement": 0.4}, parts={"a": 0.2}), Prediction(None)]
    assert back.of(answers).tolist() == one.of(answers).tolist()
    assert set(KINDS) >= {one.map.kind}
