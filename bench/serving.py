"""What a trained student's serving costs over the bare runtime, and what it gains over transformers.pipeline.

    python -m bench.serving --base PATH      # 3 minutes on 2 cores; appends its table to bench/LOG.md

A tagger is trained once on the stories of examples/characters (kept in .cache/bench-serving) and answers the stories cut
into pieces of 45 words, all in one call. In the same process and in turn the same texts go through
- bare ONNX Runtime: tokenizers, batches sorted by length, session.run on the same model file; nothing is decoded;
- transformers.pipeline in fp32 with batches of 32 and of 1: the same base with a head that always says O, so that the
  pipeline has no entities to put together and is at its fastest.
Figures are medians of rounds; only their ratios carry over to other machines.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForTokenClassification, AutoTokenizer, pipeline
from transformers.utils import logging

from tutelage import settings
from tutelage.answering.tagger import Tagger
from tutelage.embeddings.runtime import TextModel, cores
from tutelage.students.base import FitContext, Trained
from tutelage.students.tagger import TaggerSettings, TaggerStudent
from tutelage.tasks.strings import StringsTask
from tutelage.types import Example, Labelled

ROOT = Path(__file__).parents[1]
LOG = Path(__file__).with_name("LOG.md")
STORIES = ROOT / "examples" / "characters" / "stories.jsonl"
CACHE = ROOT / ".cache" / "bench-serving"
TASK = StringsTask("characters", ("text",), "", grounded=True)
PRECISIONS = ("fp32", "int8", "int8-mixed")
WORDS, ROUNDS, BATCH = 45, 5, 32
WANTED_BARE, WANTED_PIPELINE = 0.9, 3.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default=str(settings.weights_folder() / "minilm"), help="folder of the tagger's base")
    base = Path(parser.parse_args().base).expanduser().resolve()
    if not base.is_dir():
        print(f"SKIPPED: there is no {base}. Fetch it with: python scripts/weights.py minilm, or give --base PATH.")
        return 0
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    stories = [json.loads(line) for line in STORIES.read_text(encoding="utf-8").splitlines()]
    trained(stories, base)
    texts = pieces([story["text"] for story in stories])
    runs: dict[str, Callable[[], object]] = {}
    for precision in PRECISIONS:
        student = Tagger(TASK, TextModel(CACHE / precision))
        runs[f"student {precision}"] = predicted(Trained("tagger", student), texts)
        runs[f"bare {precision}"] = bare(CACHE / precision, texts)
    for size in (BATCH, 1):
        runs[f"pipeline batch {size}"] = piped(base, texts, size)
    rates = measured(runs, len(texts))
    text = table(rates, len(texts))
    print(text)
    with LOG.open("a", encoding="utf-8") as log:
        log.write(text)
    return 0


def trained(stories: Sequence[dict[str, Any]], base: Path) -> None:
    """Train the tagger into CACHE/fp32, int8 and int8-mixed, unless it is there; a loss of -1 allows none, so all are tried."""
    if (CACHE / "done").exists():
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    print("training the tagger once ...", file=sys.stderr)
    examples = [
        Labelled(Example(str(at), {"text": story["text"]}, "train"), story["characters"], "human")
        for at, story in enumerate(stories[:100])
    ]
    student = TaggerStudent(TASK, TaggerSettings(str(base), epochs=3, max_int8_loss=-1.0))
    student.fit(examples, [], FitContext(CACHE, Path))
    (CACHE / "done").touch()


def pieces(texts: Sequence[str]) -> list[str]:
    cut = [text.split() for text in texts]
    return [" ".join(words[at : at + WORDS]) for words in cut for at in range(0, len(words), WORDS)]


def predicted(student: Trained, texts: Sequence[str]) -> Callable[[], object]:
    inputs = [{"text": text} for text in texts]
    return lambda: asyncio.run(student.predict(inputs))


def bare(folder: Path, texts: Sequence[str]) -> Callable[[], object]:
    """The least that can be done: tokenise, sort by length, pad, run."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])

    def run() -> None:
        ids = sorted((encoding.ids for encoding in tokenizer.encode_batch(list(texts))), key=len, reverse=True)
        for first in range(0, len(ids), BATCH):
            batch = ids[first : first + BATCH]
            padded, mask = (
                np.zeros((len(batch), len(batch[0])), np.int64),
                np.zeros((len(batch), len(batch[0])), np.int64),
            )
            for row, one in enumerate(batch):
                padded[row, : len(one)], mask[row, : len(one)] = one, 1
            session.run(None, {"input_ids": padded, "attention_mask": mask, "token_type_ids": np.zeros_like(mask)})

    return run


def piped(base: Path, texts: Sequence[str], size: int) -> Callable[[], object]:
    model = AutoModelForTokenClassification.from_pretrained(base, num_labels=3)
    with torch.no_grad():
        model.classifier.weight.zero_()
        model.classifier.bias.copy_(torch.tensor([9.0, 0.0, 0.0]))
    model.config.id2label = {0: "O", 1: "B-NAME", 2: "I-NAME"}
    tagger = pipeline(
        "token-classification", model=model, tokenizer=AutoTokenizer.from_pretrained(base), aggregation_strategy="first"
    )
    return lambda: tagger(list(texts), batch_size=size)


def measured(runs: dict[str, Callable[[], object]], n: int) -> dict[str, float]:
    """Texts a second of each, the median of rounds in which all take their turn; the first round warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(ROUNDS + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if number:
                seconds[name].append(time.perf_counter() - start)
    return {name: n / statistics.median(times) for name, times in seconds.items()}


def table(rates: dict[str, float], n: int) -> str:
    lines = [
        f"\n## serving, {datetime.now(UTC):%Y-%m-%d}: {n} texts of {WORDS} words, {cores()} cores, median of {ROUNDS} rounds, "
        f"load average {os.getloadavg()[0]:.1f}\n",
        "| | texts/s | of bare ONNX Runtime | times the pipeline, batch 32 | times the pipeline, batch 1 |",
        "|---|---|---|---|---|",
    ]
    met = True
    for precision in PRECISIONS:
        rate = rates[f"student {precision}"]
        share = rate / rates[f"bare {precision}"]
        gains = [rate / rates[f"pipeline batch {size}"] for size in (BATCH, 1)]
        met &= share >= WANTED_BARE
        lines.append(f"| tagger {precision} | {rate:.0f} | {share:.2f} | {gains[0]:.1f} | {gains[1]:.1f} |")
    lines += [f"| {name} | {rate:.0f} | | | |" for name, rate in rates.items() if not name.startswith("student")]
    met &= rates["student int8"] >= WANTED_PIPELINE * rates[f"pipeline batch {BATCH}"]
    lines += [
        "",
        f"- wanted: at least {WANTED_BARE} of bare ONNX Runtime in each precision, and int8 at least {WANTED_PIPELINE:.0f} "
        f"times the fp32 pipeline with batches of {BATCH}: {'reached' if met else '**NOT reached**'}.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
