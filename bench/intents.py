"""Intents of short messages, dozens to hundreds of classes: linear students and a fine-tuned encoder.

    OMP_NUM_THREADS=1 python -m bench.intents --base PATH              # 25 minutes on 2 cores; appends to bench/LOG.md
    python -m bench.intents --base PATH --skip-encoder                 # 5 minutes
    python -m bench.intents --base PATH --dev --only banking77         # where choices are made; appends nothing

Data, in TUTELAGE_DATA: banking77 (Casanueva et al. 2020, CC BY 4.0) and clinc150 (Larson et al. 2019, CC BY 3.0). On
clinc150 the figure is in-scope accuracy: out-of-scope messages ("oos") are neither learnt from nor scored.

Two baselines are untuned: scikit-learn's logistic regression with C = 10 on TF-IDF of words and their pairs, and on the
base's embeddings. `linear` is as shipped, every setting at its default; so is `encoder`, except where --learning-rate and
--batch-size say otherwise (trials are made with --dev). Each answers test once. Texts per second are of one thread, in
one call, tokenisation included, by the processor time used: what else runs on the machine counts less.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from tutelage import settings
from tutelage.embeddings.encoder import OnnxEncoder, export_encoder
from tutelage.evaluation.estimates import Estimate
from tutelage.evaluation.intervals import estimate
from tutelage.evaluation.metrics import accuracy, macro_f1
from tutelage.students.base import FitContext, Student
from tutelage.students.encoder import EncoderSettings, EncoderStudent
from tutelage.students.linear import LinearSettings, LinearStudent
from tutelage.tasks.label import LabelTask
from tutelage.types import Example, Labelled, Split, Value

LOG = Path(__file__).with_name("LOG.md")
WANTED = {"banking77": {"linear": 0.928, "encoder": 0.935}, "clinc150": {"linear": 0.93}}
OUT_OF_SCOPE = "oos"

Texts = Sequence[str]


class Fitted(NamedTuple):
    """A candidate after training: what it answers texts with, and words about it."""

    answer: Callable[[Texts], list[Value | None]]
    note: str


class Data(NamedTuple):
    name: str
    train: list[Labelled]
    dev: list[Labelled]
    judged: list[Labelled]


Fit: TypeAlias = Callable[[Data, str, Path], Fitted]
"""Data, folder of the base, empty folder to work in -> a fitted candidate."""


class Result(NamedTuple):
    name: str
    accuracy: Estimate
    macro_f1: Estimate
    fit_seconds: float
    per_second: float
    note: str


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default=str(settings.weights_folder() / "minilm"), help="folder of the base model")
    parser.add_argument("--skip-encoder", action="store_true", help="leave the fine-tuned encoder out")
    parser.add_argument("--only", choices=list(WANTED), help="one data set")
    parser.add_argument("--learning-rate", type=float, help="of the encoder; default: sized from the data")
    parser.add_argument("--batch-size", type=int, help="of the encoder; default: sized from the data")
    parser.add_argument("--epochs", type=int, help="of the encoder; default: sized from the data")
    parser.add_argument("--encoder-only", action="store_true", help="fit nothing but the fine-tuned encoder")
    parser.add_argument("--linear-only", action="store_true", help="fit nothing but the linear student")
    parser.add_argument("--quantise", choices=["none", "auto", "int8"], default="none", help="of the linear student")
    parser.add_argument("--dev", action="store_true", help="score on dev, write no log")
    given = parser.parse_args()
    base = Path(given.base).expanduser().resolve()
    if not base.is_dir():
        print(f"SKIPPED: there is no {base}. Fetch it with: python scripts/weights.py minilm, or give --base PATH.")
        return 0
    for name in [given.only] if given.only else list(WANTED):
        folder = settings.data_folder() / name
        if not folder.is_dir():
            print(f"SKIPPED: there is no {folder}. Set TUTELAGE_DATA to the folder that holds {name}.")
            continue
        split: Split = "dev" if given.dev else "test"
        data = Data(name, read(folder, "train"), read(folder, "dev"), read(folder, split))
        candidates: dict[str, Fit] = {
            "TF-IDF + LR, untuned": words,
            "embeddings + LR, untuned": embeddings,
            "linear": partial(linear, given.quantise),
        }
        if "encoder" in WANTED[name] and not given.skip_encoder:
            chosen = {"learning_rate": given.learning_rate, "batch_size": given.batch_size, "epochs": given.epochs}
            candidates["encoder"] = partial(encoder, chosen)
        if only := "encoder" if given.encoder_only else "linear" if given.linear_only else None:
            candidates = {only: candidates[only]}
        results = [measured(candidate, fit, data, str(base)) for candidate, fit in candidates.items()]
        text = table(data, split, results, base.name)
        print(text, flush=True)
        if not given.dev:
            with LOG.open("a", encoding="utf-8") as log:
                log.write(text)
    return 0


def read(folder: Path, split: Split) -> list[Labelled]:
    with gzip.open(folder / f"{split}.jsonl.gz", "rt", encoding="utf-8") as lines:
        found = [json.loads(line) for line in lines]
    return [
        Labelled(Example(one["id"], {"text": one["text"]}, split), one["label"], "import")
        for one in found
        if one["label"] != OUT_OF_SCOPE
    ]


def texts_of(examples: Sequence[Labelled]) -> list[str]:
    return [one.example.input["text"] for one in examples]


def measured(name: str, fit: Fit, data: Data, base: str) -> Result:
    print(f"{data.name}: {name} ...", file=sys.stderr, flush=True)
    gold, texts = [one.value for one in data.judged], texts_of(data.judged)
    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        fitted = fit(data, base, Path(folder))
        seconds = time.monotonic() - start
        fitted.answer(texts[:32])
        start = time.process_time()
        answers = fitted.answer(texts)
        rate = len(texts) / (time.process_time() - start)
    scores = [estimate(metric(task(data), gold, answers), len(gold)) for metric in (accuracy, macro_f1)]
    return Result(name, scores[0], scores[1], seconds, rate, fitted.note)


def words(data: Data, _base: str, _folder: Path) -> Fitted:
    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression(C=10, max_iter=1000))
    model.fit(texts_of(data.train), [str(one.value) for one in data.train])
    return Fitted(lambda texts: list(model.predict(texts)), "")


def embeddings(data: Data, base: str, folder: Path) -> Fitted:
    export_encoder(base, folder / "encoder", Path)
    encoder = OnnxEncoder(folder / "encoder", threads=1)
    model = LogisticRegression(C=10, max_iter=1000)
    model.fit(encoder.encode(texts_of(data.train)), [str(one.value) for one in data.train])
    return Fitted(lambda texts: list(model.predict(encoder.encode(texts))), "")


def linear(quantise: Literal["none", "auto", "int8"], data: Data, base: str, folder: Path) -> Fitted:
    student = LinearStudent(task(data), LinearSettings(base=base, quantise=quantise, threads=1))
    facts = fit_student(student, data, folder)
    tried = "; ".join(f"{one['features']} C={one['C']:g} {one['dev_accuracy']:.4f}" for one in facts["tried"])
    note = f"linear: {facts['features']}, C = {facts['C']:g}, dev accuracy {facts['dev_accuracy']:.4f}; tried on dev: {tried}"
    if precision := (facts["encoder"] or {}).get("precision"):
        forms = {form: facts["encoder"][form] for form in ("fp32", "int8", "int8-mixed") if form in facts["encoder"]}
        note += f"; served in {precision}: {forms}"
    return Fitted(answers_of(student), note)


def encoder(chosen: dict[str, Any], data: Data, base: str, folder: Path) -> Fitted:
    student = EncoderStudent(task(data), EncoderSettings(base, **chosen))
    facts = fit_student(student, data, folder)
    folder.joinpath("saved").mkdir()
    student.save(folder / "saved")
    served = EncoderStudent.load(student.task, EncoderSettings(base, threads=1), folder / "saved")
    plan = facts["plan"]
    note = (
        f"encoder: learning rate {plan['learning_rate']}, batch {plan['batch_size']}, dev accuracy of the epochs "
        f"{facts['dev_scores']}, epoch {facts['best_epoch']} kept; served in {facts['precision']}: fp32 {facts['fp32']}, "
        f"int8 {facts.get('int8')}"
    )
    return Fitted(answers_of(served), note)


def task(data: Data) -> LabelTask:
    return LabelTask(data.name, ("text",), "", labels=tuple(sorted({str(one.value) for one in data.train})))


def fit_student(student: Student, data: Data, folder: Path) -> dict[str, Any]:
    last = 0.0

    def progress(share: float, shown: Any) -> None:
        nonlocal last
        if time.monotonic() - last > 15:
            last = time.monotonic()
            print(f"{share:.0%} {dict(shown)}", file=sys.stderr, flush=True)

    (folder / "work").mkdir()
    return student.fit(data.train, data.dev, FitContext(folder / "work", Path, progress))


def answers_of(student: Student) -> Callable[[Texts], list[Value | None]]:
    return lambda texts: [one.value for one in student.predict_batch([{"text": text} for text in texts])]


def table(data: Data, split: str, results: Sequence[Result], base: str) -> str:
    scope = ", in scope only" if data.name == "clinc150" else ""
    classes = len({one.value for one in data.train})
    lines = [
        f"\n## intents, {datetime.now(UTC):%Y-%m-%d}: {data.name} {split}{scope}, {len(data.judged)} texts, "
        f"{classes} classes, {len(data.train)} to learn from, base {base}\n",
        "| candidate | accuracy (95 % interval) | macro-F1 | fit s | texts/s, 1 core |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {one.name} | {shown(one.accuracy)} | {shown(one.macro_f1)} | {one.fit_seconds:.0f} | {one.per_second:.0f} |"
        for one in results
    ]
    lines.append("")
    for one in results:
        if one.name in WANTED[data.name]:
            wanted = WANTED[data.name][one.name]
            verdict = "reached" if one.accuracy.value >= wanted else "**NOT reached**"
            lines.append(f"- {one.name}: wanted at least {wanted}: {verdict}.")
    lines += [f"- {one.note}." for one in results if one.note]
    return "\n".join([*lines, ""])


def shown(value: Estimate) -> str:
    return f"{value.value:.4f} ({value.low:.4f} to {value.high:.4f})"


if __name__ == "__main__":
    sys.exit(main())
