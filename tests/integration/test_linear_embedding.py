"""The linear student with a sentence encoder: exported from a tiny random base, it travels in the student's folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tutelage.embeddings.encoder import OnnxEncoder, export_encoder, normalised
from tutelage.errors import StoreError, TrainingError
from tutelage.students.base import FitContext
from tutelage.students.linear import LinearSettings, LinearStudent
from tutelage.tasks.label import LabelTask
from tutelage.types import Example, Labelled

pytest.importorskip("torch")
tiny = pytest.importorskip("tests.tiny")

TASK = LabelTask("weather", ("text",), "", labels=("cold", "hot"))
WORDS = {"cold": ["snow", "ice", "frost", "sleet"], "hot": ["sun", "fire", "desert", "heat"]}


def examples(n: int, seed: int = 0) -> list[Labelled]:
    random = np.random.default_rng(seed)
    found = []
    for at in range(n):
        label = ["cold", "hot"][at % 2]
        text = f"the {' '.join(random.choice(WORDS[label], 3))} day"
        found.append(Labelled(Example(f"{seed}-{at}", {"text": text}, "train"), label, "import"))
    return found


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    texts = [one.example.input["text"] for one in examples(40)]
    made: Path = tiny.make_base(tmp_path_factory.mktemp("base"), texts)
    return made


def fit(settings: LinearSettings, folder: Path) -> tuple[LinearStudent, dict[str, object]]:
    student = LinearStudent(TASK, settings)
    folder.mkdir()
    facts = student.fit(examples(40), examples(12, seed=1), FitContext(folder, Path))
    saved = folder / "saved"
    saved.mkdir()
    student.save(saved)
    return student, facts


@pytest.mark.parametrize("quantise", ["none", "int8"])
def test_embeddings_travel_with_the_student(base: Path, tmp_path: Path, quantise: str) -> None:
    settings = LinearSettings(features="embedding", base=str(base), quantise=quantise, threads=1)  # type: ignore[arg-type]
    student, facts = fit(settings, tmp_path / "work")
    asked = [one.example.input for one in examples(10, seed=2)] + [{"text": ""}, {"text": "snow " * 300}]
    before = student.predict_batch(asked)
    loaded = LinearStudent.load(TASK, settings, tmp_path / "work" / "saved")
    assert loaded.predict_batch(asked) == before
    encoder = facts["encoder"]
    assert isinstance(encoder, dict)
    assert (encoder["base"], encoder["width"], encoder["licence"]) == (str(base), 32, "apache-2.0")
    assert encoder.get("precision") == (None if quantise == "none" else "int8")
    (tmp_path / "work" / "saved" / "model" / "model.onnx").unlink()
    with pytest.raises(StoreError):
        LinearStudent.load(TASK, settings, tmp_path / "work" / "saved")


def test_auto_tries_embeddings_and_words_and_keeps_only_what_it_uses(base: Path, tmp_path: Path) -> None:
    settings = LinearSettings(base=str(base), threads=1)
    student, facts = fit(settings, tmp_path / "work")
    tried = facts["tried"]
    assert isinstance(tried, list)
    features = {trial["features"] for trial in tried}
    assert {"embedding", "embedding+words", "embedding+words+characters", "words", "words+characters"} == features
    uses = "embedding" in str(facts["features"])
    assert (tmp_path / "work" / "saved" / "model").exists() == uses == (facts["encoder"] is not None)
    assert student.predict_batch([{"text": "snow ice"}])[0].value == "cold"


def test_a_base_that_does_not_exist_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no/such") as caught:
        fit(LinearSettings(base=str(tmp_path / "no/such")), tmp_path / "work")
    assert "\n" not in str(caught.value)


def test_vectors_have_length_one_and_do_not_depend_on_company(base: Path, tmp_path: Path) -> None:
    facts = export_encoder(str(base), tmp_path / "encoder", Path)
    encoder = OnnxEncoder(tmp_path / "encoder", threads=1)
    assert encoder.width == facts["width"] == 32
    together = encoder.encode(["snow", "the sun and the fire of the desert", ""])
    assert together.shape == (3, 32) and together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(encoder.encode(["snow"])[0], together[0], atol=1e-5)
    assert encoder.encode([]).shape == (0, 32)
    assert normalised(np.zeros((1, 3), np.float32)).tolist() == [[0, 0, 0]]
