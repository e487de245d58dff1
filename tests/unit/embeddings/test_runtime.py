"""TextModel on graphs small enough to compute by hand: the output is a function of the token's own id, or of its window."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from tutelage.embeddings.runtime import TextModel, cores, window_starts
from tutelage.errors import StoreError

WORDS = [f"w{number}" for number in range(40)]


def make_model(folder: Path, *, pooled: bool, max_length: int = 8, special: bool = True) -> TextModel:
    """A model that gives (id, number of tokens in the window) for each token, or the mean of it over the window."""
    folder.mkdir()
    vocab = {word: at for at, word in enumerate(["[PAD]", "[CLS]", "[SEP]", "[UNK]", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if special:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", pair=None, special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
        )
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=6)
    tokenizer.save(str(folder / "tokenizer.json"))
    axes = numpy_helper.from_array(np.array([1]), "axes")
    last = numpy_helper.from_array(np.array([2]), "last")
    nodes = [
        helper.make_node("Cast", ["input_ids"], ["id"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["mask", "axes"], ["length"], keepdims=1),
        helper.make_node("Mul", ["mask", "length"], ["lengths"]),
        helper.make_node("Unsqueeze", ["id", "last"], ["id3"]),
        helper.make_node("Unsqueeze", ["lengths", "last"], ["lengths3"]),
        helper.make_node("Concat", ["id3", "lengths3"], ["tokens"], axis=2),
    ]
    output, shape = "tokens", ["batch", "length", 2]
    if pooled:
        nodes.append(helper.make_node("ReduceSum", ["tokens", "axes"], ["sums"], keepdims=0))
        nodes.append(helper.make_node("Div", ["sums", "length"], ["means"]))
        output, shape = "means", ["batch", 2]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"])
        for name in ("input_ids", "attention_mask")
    ]
    outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, [axes, last])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "model.onnx"
    )
    (folder / "runtime.json").write_text(json.dumps({"max_length": max_length, "overlap": 2, "note": "mine"}))
    return TextModel(folder, threads=1)


def texts_of(lengths: list[int]) -> list[str]:
    return [" ".join(WORDS[(start + at) % 40] for at in range(length)) for start, length in enumerate(lengths)]


def test_token_outputs_keep_the_order_and_have_no_padding(tmp_path: Path) -> None:
    model = make_model(tmp_path / "m", pooled=False)
    encodings = model.encode_texts(texts_of([3, 1, 6, 0, 2]))
    outputs = model.run(encodings, batch_size=2)
    assert [output[:, 0].tolist() for output in outputs] == [encoding.ids for encoding in encodings]
    assert [output[0, 1] for output in outputs] == [5, 3, 8, 2, 4]
    assert model.facts["note"] == "mine"


@pytest.mark.parametrize("length", [7, 8, 13, 14, 25])
@pytest.mark.parametrize("special", [True, False])
def test_overlong_texts_are_windowed_not_cut(tmp_path: Path, length: int, special: bool) -> None:
    model = make_model(tmp_path / "m", pooled=False, special=special)
    encodings = model.encode_texts(texts_of([2, length, 3]))
    outputs = model.run(encodings)
    assert [output[:, 0].tolist() for output in outputs] == [encoding.ids for encoding in encodings]
    assert set(outputs[1][:, 1].tolist()) == {8 if len(encodings[1].ids) > 8 else float(len(encodings[1].ids))}


def test_vectors_of_an_overlong_texts_windows_are_averaged(tmp_path: Path) -> None:
    model = make_model(tmp_path / "m", pooled=True)
    [encoding] = model.encode_texts(texts_of([10]))
    [short, long] = model.run([*model.encode_texts(["w1"]), encoding])
    assert short.tolist() == [pytest.approx((1 + 5 + 2) / 3), 3]
    own = encoding.ids[1:-1]
    windows = [[1, *own[start : start + 6], 2] for start in (0, 4)]
    assert long.tolist() == [pytest.approx(np.mean([np.mean(window) for window in windows])), 8]


def test_nothing_gives_nothing(tmp_path: Path) -> None:
    model = make_model(tmp_path / "m", pooled=True)
    assert model.run([]) == []
    assert model.run(model.encode_texts([])) == []


def test_texts_without_any_token_are_answered(tmp_path: Path) -> None:
    model = make_model(tmp_path / "m", pooled=False, special=False)
    assert [output.shape for output in model.run(model.encode_texts(["", "w1"], offsets=False))] == [(0, 2), (1, 2)]


@pytest.mark.parametrize(
    ("file", "content"),
    [("model.onnx", b"no"), ("tokenizer.json", b"{}"), ("runtime.json", b"{}"), ("runtime.json", None)],
)
def test_a_damaged_folder_is_one_clear_line(tmp_path: Path, file: str, content: bytes | None) -> None:
    make_model(tmp_path / "m", pooled=True)
    if content is None:
        (tmp_path / "m" / file).unlink()
    else:
        (tmp_path / "m" / file).write_bytes(content)
    with pytest.raises(StoreError, match=r"^The model in .*m cannot be loaded: .*Train or download it again\.$"):
        TextModel(tmp_path / "m")


def test_windows_are_full_cover_everything_and_overlap() -> None:
    for length in range(1, 60):
        starts = window_starts(length, 10, 3)
        assert starts[0] == 0
        assert starts[-1] == max(0, length - 10)
        assert all(0 < after - before <= 7 for before, after in pairwise(starts))
    assert cores() >= 1
