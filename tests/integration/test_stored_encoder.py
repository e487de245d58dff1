"""A sentence encoder is exported once for a project, its vectors are kept, and shots chosen by it need no torch again."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.letters import pool_of, texts_of
from tutelage.embeddings.encoder import OnnxEncoder
from tutelage.embeddings.runtime import TOKENIZER
from tutelage.embeddings.stored import VECTORS, WORTH_KEEPING, StoredEncoder, stored_encoder
from tutelage.errors import MissingPackage, StoreError, TrainingError
from tutelage.prompting.selectors import ShotOptions, build_selector
from tutelage.tasks.label import LabelTask

pytest.importorskip("torch")
tiny = pytest.importorskip("tests.tiny")

TEXTS = [f"{colour} {thing} {number}" for colour in ("red", "blue") for thing in ("car", "sea") for number in range(20)]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = tiny.make_base(tmp_path_factory.mktemp("base"), TEXTS)
    return made


@pytest.fixture
def no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "tutelage.embeddings.export", raising=False)


@pytest.fixture(scope="module")
def exported(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of encoders of a project in which `base` was used once."""
    folder = tmp_path_factory.mktemp("encoders")
    stored_encoder(str(base), Path, folder)
    return folder


def copied(exported: Path, folder: Path) -> Path:
    return shutil.copytree(exported, folder / "encoders")


@pytest.mark.usefixtures("no_torch")
def test_a_base_that_was_exported_needs_no_torch(base: Path, exported: Path) -> None:
    encoder = stored_encoder(str(base), Path, exported)
    assert encoder.encode(TEXTS[:2]).shape == (2, encoder.width)
    assert np.array_equal(encoder.encode(TEXTS[:2]), OnnxEncoder(encoder.folder).encode(TEXTS[:2]))
    pool = pool_of(("red car", "a"), ("blue sea", "b"))
    task = LabelTask("things", ("text",), "", labels=("a", "b"))
    selector = build_selector(task, pool, ShotOptions(selector="nearest", shots=1), encoder)
    assert texts_of(selector.select({"text": "red car 1"})) == ["red car"]


@pytest.mark.usefixtures("no_torch")
def test_a_base_to_export_without_torch_is_a_missing_package(base: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingPackage, match=r"needs the package 'torch'.*tutelage\[train\]"):
        stored_encoder(str(base), Path, tmp_path / "encoders")


@pytest.mark.usefixtures("no_torch")
def test_a_folder_with_an_exported_encoder_is_used_as_it_is(exported: Path, tmp_path: Path) -> None:
    (ready,) = (folder for folder in exported.iterdir() if folder.is_dir())
    encoder = stored_encoder(str(ready), Path, tmp_path)
    assert encoder.folder == ready
    assert encoder.identity == OnnxEncoder(ready).identity


def test_a_base_that_does_not_exist_says_so(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no folder"):
        stored_encoder(str(tmp_path / "nothing"), Path, tmp_path / "encoders")


def test_vectors_of_many_texts_are_read_back_and_only_new_texts_encoded(
    base: Path, exported: Path, tmp_path: Path
) -> None:
    folder = copied(exported, tmp_path)
    first = stored_encoder(str(base), Path, folder).encode(TEXTS)
    (file,) = folder.rglob(VECTORS)
    with np.load(file) as stored:
        marked = stored["vectors"].copy()
        marked[0] = 0  # shows that it is this file that is read
        np.savez(file, identity=stored["identity"], keys=stored["keys"], vectors=marked)
    again = stored_encoder(str(base), Path, folder).encode([*TEXTS, "red car blue sea"])
    assert not again[0].any()
    assert np.array_equal(again[1:-1], first[1:])
    assert again[-1].any()


@pytest.mark.parametrize("damage", ["cut", "another encoder", "gone"])
def test_vectors_that_cannot_be_trusted_are_encoded_anew(
    damage: str, base: Path, exported: Path, tmp_path: Path
) -> None:
    folder = copied(exported, tmp_path)
    first = stored_encoder(str(base), Path, folder).encode(TEXTS)
    (file,) = folder.rglob(VECTORS)
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:200])
    elif damage == "gone":
        file.unlink()
    else:
        with np.load(file) as stored:
            np.savez(file, identity="other", keys=stored["keys"], vectors=np.zeros_like(stored["vectors"]))
    assert stored_encoder(str(base), Path, folder).encode(TEXTS) == pytest.approx(first, abs=1e-5)


def test_single_texts_are_not_kept(base: Path, exported: Path, tmp_path: Path) -> None:
    folder = copied(exported, tmp_path)
    stored_encoder(str(base), Path, folder).encode(TEXTS[: WORTH_KEEPING - 1])
    assert list(folder.rglob(VECTORS)) == []


def test_an_identity_is_of_what_lies_in_the_folder(exported: Path, tmp_path: Path) -> None:
    (ready,) = (folder for folder in copied(exported, tmp_path).iterdir() if folder.is_dir())
    before = StoredEncoder(ready, tmp_path).identity
    (ready / TOKENIZER).write_text("{}")
    assert StoredEncoder(ready, tmp_path).identity != before
    (ready / TOKENIZER).unlink()
    with pytest.raises(StoreError, match="cannot be read"):
        _ = StoredEncoder(ready, tmp_path).identity
