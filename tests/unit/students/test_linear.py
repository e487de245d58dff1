"""The linear student: what it learns, what travels in its folder, what it refuses."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tutelage.answering.features import CHARACTERS, EMBEDDING, WORDS, Features
from tutelage.answering.linear import Data, Weights
from tutelage.answering.several import f1
from tutelage.errors import StoreError, TrainingError
from tutelage.students.base import FitContext
from tutelage.students.features import fit_features
from tutelage.students.linear import LinearSettings, LinearStudent
from tutelage.students.logistic import choose, regression
from tutelage.students.several import best_threshold
from tutelage.tasks.label import LabelTask
from tutelage.tasks.labels import LabelsTask
from tutelage.types import Example, Input, Labelled, Prediction

WORDS_OF = {
    "cold": "snow ice frost winter sleet",
    "hot": "sun heat summer fire desert",
    "wet": "rain river sea pond lake",
}
TASK = LabelTask("weather", ("text",), "", labels=("cold", "dry", "hot", "wet"))
SETTINGS = LinearSettings(effort="low")


def examples(n: int, labels: Sequence[str] = ("cold", "hot", "wet"), seed: int = 0) -> list[Labelled]:
    """n texts of four words, two of which belong to the label."""
    random = np.random.default_rng(seed)
    found = []
    for at in range(n):
        label = labels[at % len(labels)]
        own = random.choice(WORDS_OF[label].split(), 2)
        text = " ".join([*own, *random.choice(["the", "a", "day", "we", "saw", "it"], 2)])
        found.append(Labelled(Example(f"{seed}-{at}", {"text": text}, "train"), label, "import"))
    return found


def inputs(labelled: Sequence[Labelled]) -> list[Input]:
    return [one.example.input for one in labelled]


def fitted(
    folder: Path, train: Sequence[Labelled], dev: Sequence[Labelled] = (), settings: LinearSettings = SETTINGS
) -> tuple[LinearStudent, dict[str, Any]]:
    student = LinearStudent(TASK, settings)
    facts = student.fit(train, dev, FitContext(folder, Path))
    return student, facts


def accuracy(predictions: Sequence[Prediction], gold: Sequence[Labelled]) -> float:
    return float(np.mean([p.value == g.value for p, g in zip(predictions, gold, strict=True)]))


def test_it_learns_and_says_how_it_was_chosen(tmp_path: Path) -> None:
    test = examples(60, seed=2)
    student, facts = fitted(tmp_path, examples(60), examples(15, seed=1), LinearSettings())
    assert accuracy(student.predict_batch(inputs(test)), test) > 0.95
    assert facts["chosen_on"] == "dev"
    assert facts["labels_without_examples"] == ["dry"]
    assert facts["encoder"] is None
    tried = facts["tried"]
    assert len(tried) == 5  # two kinds of features, then three more penalties for the better
    assert facts["dev_accuracy"] == max(trial["dev_accuracy"] for trial in tried)


def test_without_dev_a_tenth_is_held_out_and_then_learnt_too(tmp_path: Path) -> None:
    train = examples(40)
    student, facts = fitted(tmp_path, train)
    assert facts["chosen_on"].startswith("4 examples held out of train")
    every_word = {word for one in train for word in one.example.input["text"].split() if len(word) > 1}
    assert student.answerer is not None
    assert every_word <= set(student.answerer.features.tfidf[WORDS].terms)


def test_saved_and_loaded_it_predicts_the_same(tmp_path: Path) -> None:
    student, _ = fitted(tmp_path, examples(30))
    folder = tmp_path / "saved"
    folder.mkdir()
    student.save(folder)
    loaded = LinearStudent.load(TASK, SETTINGS, folder)
    asked = [*inputs(examples(20, seed=5)), {"text": ""}, {"text": "Ünknown! 雪"}]
    assert loaded.predict_batch(asked) == student.predict_batch(asked)
    assert {path.suffix for path in folder.iterdir()} == {".json", ".npz"}
    assert loaded.predict_batch([]) == []


def test_fitting_twice_gives_the_same(tmp_path: Path) -> None:
    asked = inputs(examples(20, seed=5))
    first, second = (fitted(tmp_path, examples(30))[0].predict_batch(asked) for _ in range(2))
    assert first == second


def test_confidence_is_a_probability_and_grows_with_evidence(tmp_path: Path) -> None:
    student, _ = fitted(tmp_path, examples(60))
    sure, unsure = student.predict_batch([{"text": "snow ice frost"}, {"text": "zzz"}])
    assert sure.value == "cold"
    assert sure.confidence is not None and unsure.confidence is not None
    assert 1 / 3 - 0.01 <= unsure.confidence < sure.confidence <= 1


def test_two_classes(tmp_path: Path) -> None:
    test = examples(40, ("hot", "cold"), seed=3)
    student, facts = fitted(tmp_path, examples(40, ("hot", "cold")))
    predictions = student.predict_batch(inputs(test))
    assert facts["classes"] == 2
    assert accuracy(predictions, test) > 0.95
    assert all(p.confidence is not None and 0.5 <= p.confidence <= 1 for p in predictions)


def test_hundreds_of_classes(tmp_path: Path) -> None:
    labels = [f"intent-{at}" for at in range(200)]
    task = LabelTask("intents", ("text",), "", labels=tuple(labels))
    train = [
        Labelled(Example(f"{at}-{copy}", {"text": f"word{at} number {copy}"}, "train"), label, "import")
        for at, label in enumerate(labels)
        for copy in range(2)
    ]
    student = LinearStudent(task, SETTINGS)
    student.fit(train, (), FitContext(tmp_path, Path))
    assert [p.value for p in student.predict_batch([{"text": "word7"}, {"text": "word199"}])] == [
        "intent-7",
        "intent-199",
    ]


@pytest.mark.parametrize(
    ("train", "settings", "message"),
    [
        (examples(2), SETTINGS, "2 labelled examples are too few"),
        (examples(12, ("hot",)), SETTINGS, "have the label 'hot'"),
        (examples(12), LinearSettings(features="both"), "features = 'both' needs base"),
        (examples(12), LinearSettings(features="embedding"), "features = 'embedding' needs base"),
        (
            [replace(one, example=replace(one.example, input={"text": "!!!"})) for one in examples(12)],
            SETTINGS,
            "hold no words",
        ),
    ],
)
def test_refusals_are_one_line(
    tmp_path: Path, train: Sequence[Labelled], settings: LinearSettings, message: str
) -> None:
    with pytest.raises(TrainingError, match=message) as caught:
        fitted(tmp_path, train, (), settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["student.json", "weights.npz", "terms.json", "idf.npz"])
@pytest.mark.parametrize("damage", [b"", b"not what it was", None])
def test_a_damaged_folder_is_one_line(tmp_path: Path, name: str, damage: bytes | None) -> None:
    student, _ = fitted(tmp_path, examples(30))
    folder = tmp_path / "saved"
    folder.mkdir()
    student.save(folder)
    if damage is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(damage)
    with pytest.raises(StoreError, match="Train it again"):
        LinearStudent.load(TASK, SETTINGS, folder)


def test_a_damaged_list_of_classes_is_one_line(tmp_path: Path) -> None:
    student, _ = fitted(tmp_path, examples(30))
    folder = tmp_path / "saved"
    folder.mkdir()
    student.save(folder)
    (folder / "student.json").write_text(json.dumps({"classes": ["hot"]}))
    with pytest.raises(StoreError, match="Train it again"):
        LinearStudent.load(TASK, SETTINGS, folder)


class LengthEncoder:
    """An encoder of width 2 that sees whether a text has more than three words."""

    width = 2
    identity = "lengths"

    def encode(self, texts: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
        return np.array([[1, 0] if len(text.split()) > 3 else [0, 1] for text in texts], np.float32)


def test_embedding_and_words_stand_side_by_side() -> None:
    texts = ["a b c d", "a b", "c d e f", "e f"]
    gold = ["long", "short", "long", "short"]
    features = fit_features([EMBEDDING, WORDS, CHARACTERS], texts, LengthEncoder())
    data = Data({part: features.transform(part, texts) for part in (EMBEDDING, WORDS)}, gold)
    (weights,) = regression((EMBEDDING, WORDS), [30.0], data)
    unknown = {part: features.transform(part, ["x y z w", "x y"]) for part in (EMBEDDING, WORDS)}
    probabilities = weights.probabilities(unknown)
    assert [weights.classes[at] for at in probabilities.argmax(axis=1)] == ["long", "short"]
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)


def test_high_effort_tries_every_pair_and_low_one() -> None:
    texts = [one.example.input["text"] for one in examples(30)]
    gold = [str(one.value) for one in examples(30)]
    features = fit_features([WORDS, CHARACTERS], texts, None)
    data = Data({part: features.transform(part, texts) for part in (WORDS, CHARACTERS)}, gold)
    options = [(WORDS,), (WORDS, CHARACTERS)]
    shares: list[float] = []
    best, tried = choose(options, "high", data, data, lambda share, _: shares.append(share))
    assert len(tried) == 12 and shares[-1] == 1.0
    assert best.log_loss == min(t.log_loss for t in tried if t.score == best.score)
    assert [t.parts for t in choose(options, "low", data, data, lambda *_: None)[1]] == [(WORDS,)]


def test_judge_counts_unknown_gold_as_wrong() -> None:
    rows = {WORDS: np.eye(2, dtype=np.float32)}
    weights = Weights(("a", "b"), {WORDS: 100 * np.eye(2, dtype=np.float32)}, np.zeros(2, np.float32))
    assert weights.judge(Data(rows, ["a", "b"])) == pytest.approx((1.0, 0.0))
    accuracy, log_loss = weights.judge(Data(rows, ["a", "c"]))
    assert accuracy == 0.5
    assert log_loss == pytest.approx(-np.log(1e-7) / 2)


def test_features_keep_only_the_parts_saved(tmp_path: Path) -> None:
    features: Features = fit_features([WORDS, CHARACTERS], ["snow and ice", "sun"], None)
    features.save(tmp_path, [WORDS])
    assert list(json.loads((tmp_path / "terms.json").read_text())) == [WORDS]


ASPECTS = LabelsTask("aspects", ("text",), "", labels=("wet", "cold", "dry", "hot"))


def sets(n: int, seed: int = 0) -> list[Labelled]:
    """n texts about none, one or two of three labels."""
    random = np.random.default_rng(seed)
    found = []
    for at in range(n):
        value = [label for label in ("wet", "cold", "hot") if random.random() < 0.4]
        words = [*random.choice(["the", "a", "day", "we"], 2), *(random.choice(WORDS_OF[one].split()) for one in value)]
        found.append(Labelled(Example(f"{seed}-{at}", {"text": " ".join(words)}, "train"), value, "import"))
    return found


def test_several_labels_or_none(tmp_path: Path) -> None:
    student = LinearStudent(ASPECTS, LinearSettings())
    facts = student.fit(sets(120), sets(30, 1), FitContext(tmp_path, Path))
    test = sets(60, 2)
    found = student.predict_batch(inputs(test))
    assert accuracy(found, test) > 0.9
    assert any(p.value == [] for p in found) and any(len(p.value or []) == 2 for p in found)
    assert facts["labels_without_examples"] == ["dry"] and 0 < facts["threshold"] < 1 and facts["dev_f1"] > 0.9
    for one in found:
        assert list(one.parts) == ["wet", "cold", "hot"] and isinstance(one.value, list)
        said = [p if label in one.value else 1 - p for label, p in one.parts.items()]
        assert one.confidence == pytest.approx(np.prod(said), abs=1e-6)
        assert ASPECTS.canonical(one.value) == one.value
    saved = tmp_path / "saved"
    saved.mkdir()
    student.save(saved)
    assert LinearStudent.load(ASPECTS, LinearSettings(), saved).predict_batch(inputs(test)) == found


def test_a_label_that_every_example_has_is_given_and_one_set_for_all_is_refused(tmp_path: Path) -> None:
    student = LinearStudent(ASPECTS, SETTINGS)
    always = [replace(one, value=ASPECTS.canonical([*one.value, "dry"])) for one in sets(40)]
    student.fit(always, (), FitContext(tmp_path, Path))
    assert all("dry" in (p.value or []) for p in student.predict_batch([{"text": "rain"}, {"text": "unheard"}]))
    with pytest.raises(TrainingError, match="all 40 examples to learn from have 'dry'"):
        student.fit([replace(one, value=["dry"]) for one in always], (), FitContext(tmp_path, Path))


def test_the_threshold_is_the_best_for_the_mean_f1() -> None:
    gold = [["a"], ["a", "b"], []]
    probabilities = np.array([[0.4, 0.1], [0.6, 0.35], [0.2, 0.22]], np.float32)
    assert best_threshold(gold, ["a", "b"], probabilities) == (0.35, 1.0)
    assert f1(gold, ["a"], np.array([[True], [True], [False]])) == pytest.approx((1 + 2 / 3 + 1) / 3)
