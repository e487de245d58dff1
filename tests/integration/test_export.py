"""Export to ONNX gives what torch gives, and a base that is not there is one line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from tests.tiny import make_base
from tutelage.embeddings.export import MeanPooled, export_onnx, load_base
from tutelage.embeddings.runtime import TextModel
from tutelage.errors import TrainingError


def test_the_exported_model_gives_what_torch_gives(tmp_path: Path) -> None:
    base = load_base("base", lambda name: make_base(tmp_path / name, ["red blue green dog"]))
    assert (base.width, base.max_length, base.pad_id, base.licence) == (32, 64, 0, "apache-2.0")
    pooled = MeanPooled(base.model)
    export_onnx(pooled, base.tokenizer, tmp_path / "out", max_length=16, facts={"kind": "sentence", "max_length": 5})
    assert json.loads((tmp_path / "out" / "runtime.json").read_text()) == {
        "kind": "sentence",
        "max_length": 16,
        "pad_id": 0,
    }
    served = TextModel(tmp_path / "out", threads=1)
    encodings = served.encode_texts(["red dog", "a blue green dog ran", ""])
    for encoding, vector in zip(encodings, served.run(encodings), strict=True):
        ids = torch.tensor([encoding.ids])
        with torch.no_grad():
            expected = pooled(ids, torch.ones_like(ids))[0].numpy()
        np.testing.assert_allclose(vector, expected, atol=1e-5)


def test_a_name_that_the_hub_does_not_answer_for_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"^base = 'no-one/nothing' does not exist: there is no folder .*\.$"):
        load_base("no-one/nothing", lambda name: tmp_path / name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_base_without_permission_is_one_line(tmp_path: Path) -> None:
    folder = make_base(tmp_path / "base", ["red"])
    (folder / "config.json").chmod(0)
    with pytest.raises(TrainingError, match="cannot be loaded"):
        load_base(str(folder), Path)
