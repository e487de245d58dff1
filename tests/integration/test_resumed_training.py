"""A training that was broken off goes on to the very same weights."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.integration.test_encoder import PLAIN, TASK, WORDS, examples
from tests.tiny import make_base
from tutelage.students.base import FitContext
from tutelage.students.encoder import EncoderSettings, EncoderStudent
from tutelage.students.finetune import checkpoint, loop


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> EncoderSettings:
    words = [*PLAIN, *(word for words in WORDS.values() for word in words)]
    base = make_base(tmp_path_factory.mktemp("base"), words)
    return EncoderSettings(
        str(base), epochs=4, learning_rate=5e-3, batch_size=8, max_length=24, threads=1, quantise="none"
    )


def fit(settings: EncoderSettings, context: FitContext) -> EncoderStudent:
    student = EncoderStudent(TASK, settings)
    student.fit(examples(60, 1), examples(20, 2), context)
    return student


def made(folder: Path, **given: object) -> FitContext:
    folder.mkdir()
    return replace(FitContext(folder, Path), **given)  # type: ignore[arg-type]


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("share", [0.1, 0.4, 0.5, 0.99])
def test_it_goes_on_where_it_was_to_the_same_answers(settings: EncoderSettings, tmp_path: Path, share: float) -> None:
    def broken_off(done: float, _shown: Mapping[str, object]) -> None:
        if done >= share:
            raise KeyboardInterrupt

    seen: list[float] = []
    checkpoints = tmp_path / "checkpoints"
    with pytest.raises(KeyboardInterrupt):
        fit(settings, made(tmp_path / "first", checkpoints=checkpoints, progress=broken_off))
    torch.manual_seed(99)  # what else the process did with random numbers
    tell = lambda done, _shown: seen.append(done)  # noqa: E731
    resumed = fit(settings, made(tmp_path / "second", checkpoints=checkpoints, progress=tell))
    straight = fit(settings, made(tmp_path / "straight"))
    inputs = [one.example.input for one in examples(40, 3)]
    assert min(seen) >= share - 0.05
    assert resumed.predict_batch(inputs) == straight.predict_batch(inputs)


@pytest.mark.usefixtures("often")
def test_a_damaged_checkpoint_is_left_and_training_starts_over(
    settings: EncoderSettings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / checkpoint.FILE).write_bytes(b"\x10\0\0\0\0\0\0\0{half")
    resumed = fit(replace(settings, epochs=1), made(tmp_path / "fit", checkpoints=tmp_path / "checkpoints"))
    assert "is not used" in caplog.text
    inputs = [one.example.input for one in examples(9, 3)]
    assert resumed.predict_batch(inputs) == fit(replace(settings, epochs=1), made(tmp_path / "x")).predict_batch(inputs)
