"""What each form of a served model loses, weighs and gains: fp32, int8, 4 bits, pruned, beside PyTorch eager in fp32.

    python -m bench.compression --base PATH      # 4 minutes on one core; appends its table to bench/LOG.md

An encoder is trained once on some of banking77 (kept in .cache/bench-compression). Every form is made of its fp32 model
and scored on banking77's dev, on which int8 is chosen in use; test is not touched. Speed is of one thread on dev texts, in
processor time (so that other processes matter little), tokenisation included, all forms in turn, the median of rounds;
PyTorch runs the same architecture with no gradient.

int4         MatMulNBits: weights of matrix products in 4 bits, blocks of 32, computed in int8 or in fp32
int4-int8    the same, and the embeddings (half of a MiniLM) in int8. Both need: pip install onnx-ir
pruned       weights of matrix products below a quantile set to zero; ONNX Runtime skips no zeros, so only a zip gains
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from bench.projects import drawn, lines, write_log
from tutelage import registry, settings
from tutelage.answering.encoder import Classifier
from tutelage.embeddings.runtime import FACTS, MODEL, TOKENIZER, TextModel
from tutelage.evaluation.intervals import difference, estimate
from tutelage.evaluation.metrics import Mean
from tutelage.students.base import FitContext
from tutelage.students.encoder import EncoderSettings, EncoderStudent
from tutelage.tasks.label import LabelTask
from tutelage.types import Example, Labelled

CACHE = Path(__file__).parents[1] / ".cache" / "bench-compression"
EAGER = "PyTorch eager fp32"
INT8 = ("int8", "int8-mixed")
INT4 = {"int4 (computed in int8)": (4, False), "int4 (computed in fp32)": (1, False), "int4-int8": (4, True)}
PRUNED = {"pruned 30 %": 0.3, "pruned 50 %": 0.5}
WANTED_SPEED, ALLOWED_LOSS = 2.0, 0.005
ROUNDS = 3


class Row(NamedTuple):
    """A form: right answers of the dev texts, megabytes of the file and of it zipped, texts a second by batch size."""

    right: NDArray[np.float64]
    megabytes: float
    zipped: float
    speed: dict[int, float]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--base", default=str(settings.weights_folder() / "minilm"), help="folder of the encoder's base"
    )
    parser.add_argument("--train", type=int, default=770, help="training texts that are drawn")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--timed", type=int, default=64, help="dev texts that are timed")
    given = parser.parse_args()
    base = Path(given.base).expanduser().resolve()
    if not base.is_dir():
        print(f"SKIPPED: there is no {base}. Fetch it with: python scripts/weights.py minilm, or give --base PATH.")
        return 0
    torch.set_num_threads(1)
    train, dev = drawn(lines("banking77", "train"), given.train), lines("banking77", "dev")
    task = LabelTask("banking77", ("text",), "", labels=tuple(sorted({one["label"] for one in train + dev})))
    work = CACHE / f"{base.name}-{given.train}-{given.epochs}"
    labels = trained(task, train, dev, str(base), given.epochs, work)
    forms = made(work)
    texts, gold = [one["text"] for one in dev], [one["label"] for one in dev]
    right = {}
    for form in forms:
        print(f"scoring {form} ...", file=sys.stderr, flush=True)
        student = Classifier(task, TextModel(work / form, threads=1), labels)
        found = student.predict_batch([{"text": text} for text in texts])
        right[form] = np.array([float(one.value == wanted) for one, wanted in zip(found, gold, strict=True)])
    speeds = timed(work, forms, str(base), len(labels), texts[: given.timed])
    rows = {form: Row(right[form], *sizes(work / form), speeds[form]) for form in forms}
    title = f"compression: an encoder on {base.name}, banking77 dev, n = {len(dev)}"
    write_log(title, table(rows, speeds[EAGER], given, dev))
    return 0


def trained(
    task: LabelTask, train: list[dict[str, str]], dev: list[dict[str, str]], base: str, epochs: int, work: Path
) -> list[str]:
    """Train into work/fp32 unless it is there; returns the labels."""
    kept = work / "labels.json"
    if not kept.exists():
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        student = EncoderStudent(task, EncoderSettings(base, epochs=epochs, quantise="none", threads=1))
        print("training the encoder once ...", file=sys.stderr, flush=True)
        context = FitContext(
            work, Path, lambda share, shown: print(f"{share:.3f} {shown}", file=sys.stderr, flush=True)
        )
        student.fit(labelled(train), labelled(dev), context)
        assert student.answerer is not None
        kept.write_text(json.dumps(student.answerer.labels), encoding="utf-8")
    found: list[str] = json.loads(kept.read_text(encoding="utf-8"))
    return found


def labelled(examples: Sequence[dict[str, str]]) -> list[Labelled]:
    return [Labelled(Example(one["id"], {"text": one["text"]}, "train"), one["label"], "import") for one in examples]


def made(work: Path) -> list[str]:
    """Write every form beside work/fp32; returns their names."""
    source, forms = work / "fp32", ["fp32", *INT8]
    for form in INT8:
        fresh(work / form)
        registry.load("tutelage.students.quantise:write_form")(source, work / form, form)
    for form, share in PRUNED.items():
        prune(copied(source, work / form) / MODEL, share)
    if find_spec("onnx_ir") is None:
        print("int4 is left out: it needs `pip install onnx-ir`.", file=sys.stderr)
        return [*forms, *PRUNED]
    for form, (level, embeddings) in INT4.items():
        four_bits(copied(source, work / form) / MODEL, level, embeddings)
    return [*forms, *INT4, *PRUNED]


def fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def copied(source: Path, folder: Path) -> Path:
    fresh(folder).mkdir()
    for name in (TOKENIZER, FACTS, MODEL):
        shutil.copy2(source / name, folder / name)
    return folder


def four_bits(file: Path, level: int, embeddings: bool) -> None:
    """Weights of matrix products in 4 bits; `level` 1 computes in fp32, 4 in int8."""
    quantizer = registry.load("onnxruntime.quantization.matmul_nbits_quantizer:MatMulNBitsQuantizer")(
        onnx.load(file), block_size=32, is_symmetric=True, accuracy_level=level
    )
    quantizer.process()
    onnx.save(quantizer.model.model, file)
    if embeddings:
        quantize_dynamic(file, file, op_types_to_quantize=["Gather"], weight_type=QuantType.QInt8)


def prune(file: Path, share: float) -> None:
    """Set the `share` of each matrix's weights to zero that are nearest to it."""
    model = onnx.load(file)
    products = {node.input[1] for node in model.graph.node if node.op_type in ("MatMul", "Gemm")}
    for weights in model.graph.initializer:
        if weights.name in products:
            values = numpy_helper.to_array(weights).copy()
            values[np.abs(values) < np.quantile(np.abs(values), share)] = 0
            weights.CopyFrom(numpy_helper.from_array(values, weights.name))
    onnx.save(model, file)


def sizes(folder: Path) -> tuple[float, float]:
    content = (folder / MODEL).read_bytes()
    return len(content) / 1e6, len(zlib.compress(content, 1)) / 1e6


def timed(
    work: Path, forms: Sequence[str], base: str, classes: int, texts: Sequence[str]
) -> dict[str, dict[int, float]]:
    """Texts a second of each form at batch 1 and 32, tokenisation included."""
    runs: dict[str, Callable[[Sequence[str]], object]] = {EAGER: eager(base, classes)}
    for form in forms:
        runs[form] = served(TextModel(work / form, threads=1))
    seen: dict[tuple[str, int], list[float]] = defaultdict(list)
    for turn in range(ROUNDS + 1):
        print(f"timing, round {turn} of {ROUNDS} ...", file=sys.stderr, flush=True)
        for form, run in runs.items():
            for size in (1, 32):
                start = time.process_time()
                for first in range(0, len(texts), size):
                    run(texts[first : first + size])
                seen[form, size].append(len(texts) / (time.process_time() - start))
    return {form: {size: statistics.median(seen[form, size][1:]) for size in (1, 32)} for form in runs}


def served(model: TextModel) -> Callable[[Sequence[str]], object]:
    return lambda texts: model.run(model.encode_texts(texts, offsets=False))


def eager(base: str, classes: int) -> Callable[[Sequence[str]], object]:
    """The same network in PyTorch; its weights matter not for its speed."""
    loaded = registry.load("tutelage.embeddings.export:load_base")(base, Path)
    network = registry.load("tutelage.students.finetune.networks:TextClassifier")(loaded, classes).eval()
    loaded.tokenizer.enable_padding(pad_id=loaded.pad_id)

    def run(texts: Sequence[str]) -> object:
        found = loaded.tokenizer.encode_batch_fast(list(texts))
        with torch.inference_mode():
            return network(
                torch.tensor([one.ids for one in found]), torch.tensor([one.attention_mask for one in found])
            )

    return run


def table(rows: dict[str, Row], eager: dict[int, float], given: argparse.Namespace, dev: Sequence[object]) -> str:
    fp32 = rows["fp32"]
    head = "| form | accuracy (95 %) | to fp32 | MB | zipped | batch 1 | batch 32 | to eager |\n|---|---|---|---|---|---|---|---|"
    body = [f"| {EAGER} | not scored | | | | {eager[1]:.0f} | {eager[32]:.0f} | 1.00 / 1.00 |"]
    for form, row in rows.items():
        mean = estimate(Mean(row.right), len(dev))
        lost = difference(Mean(row.right), Mean(fp32.right), len(dev))
        ratio = " / ".join(f"{row.speed[size] / eager[size]:.2f}" for size in (1, 32))
        body.append(
            f"| {form} | {mean.value:.4f} ({mean.low:.4f} to {mean.high:.4f}) | {lost.value:+.4f} ({lost.low:+.4f} to "
            f"{lost.high:+.4f}) | {row.megabytes:.1f} | {row.zipped:.1f} | {row.speed[1]:.0f} | {row.speed[32]:.0f} | {ratio} |"
        )
    gain = min(rows["int8"].speed[size] / eager[size] for size in (1, 32))
    lost = fp32.right.mean() - rows["int8"].right.mean()
    verdict = "reached" if gain >= WANTED_SPEED and lost <= ALLOWED_LOSS else "NOT reached"
    return "\n".join(
        [
            head,
            *body,
            "",
            f"{given.train} training texts, {given.epochs} epochs. Texts a second of processor time of one thread: "
            f"medians of {ROUNDS} rounds.",
            f"Wanted: int8 at least {WANTED_SPEED:g} times PyTorch eager, at most {ALLOWED_LOSS:g} lost: {verdict} "
            f"({gain:.2f} times at its slower batch size, {lost:+.4f} lost).",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
