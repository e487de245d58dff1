"""What new inputs from a small local model bring: 20 intents of banking77 with 5 real examples each, and what is written to them.

    python -m bench.synthesis --work FOLDER                    # about 20 minutes on one core; appends to bench/LOG.md
    python -m bench.synthesis --work FOLDER --n 60 --strategy paraphrase

`tutelage synthesize` with a GGUF model as the writer, the same model (with shots of the 100 real examples) as the teacher that
labels, and students of family `linear` on the test texts of these intents: real examples alone; with the written ones and the
teacher's labels; with the written ones and the labels they were asked for; and with as many more real ones, which is what
labelling people's inputs would bring. Everything has its defaults and nothing was chosen on test. What was written and
answered lies in FOLDER: a run that is broken off goes on there.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.projects import lines, make_project, write_log
from tutelage import settings
from tutelage.evaluation.candidates import candidate, close, teacher_name
from tutelage.evaluation.curve.points import point
from tutelage.evaluation.curve.scores import Apart, scores
from tutelage.evaluation.estimates import Estimate
from tutelage.evaluation.harness import ExampleSet, example_set
from tutelage.evaluation.intervals import estimate
from tutelage.evaluation.metrics import Mean, Statistic
from tutelage.evaluation.scoring import statistic
from tutelage.labels.synthesis import SynthesisOptions, SynthesisReport, build_writer, plan, real_train, synthesize
from tutelage.labels.synthesis.running import agreement, intended
from tutelage.labels.teach import TeachOptions, TeachReport, teach
from tutelage.project import Project
from tutelage.types import Example, Labelled

SEED, INTENTS, EACH, REPEATS = 7, 20, 5, 3
MODEL = settings.weights_folder() / "qwen2.5-coder-0.5b" / "qwen2.5-coder-0.5b-instruct.q4_k_m.gguf"
STUDENTS = ("embeddings", "tfidf")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=MODEL, help="GGUF file that writes and labels")
    parser.add_argument("--base", type=Path, default=settings.weights_folder() / "minilm", help="the sentence encoder")
    parser.add_argument("--work", type=Path, required=True, help="folder of the project; used again, it goes on")
    parser.add_argument("--n", type=int, default=180, help="examples to keep")
    parser.add_argument("--strategy", default="label", choices=["label", "seeds", "paraphrase"])
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    for path in (given.model, given.base):
        if not path.exists():
            print(f"SKIPPED: there is no {path}. Fetch it with scripts/weights.py, or name another.")
            return 0
    project, more = made(given)
    written = asyncio.run(write(project, given))
    labelled = asyncio.run(label(project))
    body = [*filtered(project, written, labelled), "", *table(project, more)]
    title = f"synthesis: banking77, {INTENTS} intents x {EACH}, strategy {given.strategy}, {given.model.stem}"
    write_log(title, "\n".join(body))
    return 0


def made(given: argparse.Namespace) -> tuple[Project, list[dict[str, Any]]]:
    """The project, and the other real examples of its intents in train."""
    train = lines("banking77", "train")
    intents = sorted({one["label"] for one in train})
    kept = sorted(random.Random(SEED).sample(intents, INTENTS))
    random.Random(SEED).shuffle(train)
    chosen: list[dict[str, Any]] = []
    more: list[dict[str, Any]] = []
    seen: Counter[str] = Counter()
    for one in train:
        if one["label"] in kept:
            seen[one["label"]] += 1
            (chosen if seen[one["label"]] <= EACH else more).append(one)
    test = [one for one in lines("banking77", "test") if one["label"] in kept]
    task = f"""
name = "banking77"
output = "label"
labels = {kept!r}
instructions = "Which intent has the customer of a bank who writes this?"
teacher = "llm"

[candidates.llm]
family = "prompted"
provider = "gguf"
model = "{given.model.resolve()}"
threads = {given.threads}
context = 2048
shots = 5
selector = "nearest"
base = "{given.base.resolve()}"

[candidates.embeddings]
family = "linear"
base = "{given.base.resolve()}"
threads = {given.threads}

[candidates.tfidf]
family = "linear"
features = "tfidf"
threads = {given.threads}
"""
    return make_project(given.work, task, "label", {"train": chosen, "test": test}), more


async def write(project: Project, given: argparse.Namespace) -> SynthesisReport:
    seeds = real_train(project)
    writer = build_writer("llm", candidate(project, "llm").settings, project, seeds)
    planned = plan(given.strategy, project.task, seeds, per_call=writer.count)
    last = 0.0

    def tell(report: SynthesisReport) -> None:
        nonlocal last
        if time.monotonic() - last > 20:
            last = time.monotonic()
            print(f"{report.kept} kept, {report.calls} calls, {report.seconds:.0f} s", file=sys.stderr, flush=True)

    try:
        return await synthesize(project, writer, planned, SynthesisOptions(n=given.n), progress=tell)
    finally:
        await writer.asked.close()


async def label(project: Project) -> TeachReport:
    chosen = candidate(project, teacher_name(project))
    teacher = chosen.build(project)
    examples = [one for one in project.store.examples.read("train") if one.synthetic]
    last = 0.0

    def tell(report: TeachReport) -> None:
        nonlocal last
        if time.monotonic() - last > 20:
            last = time.monotonic()
            print(f"{report.answered} of {len(examples)} labelled", file=sys.stderr, flush=True)

    try:
        return await teach(
            project, teacher, examples, TeachOptions(), fingerprint=chosen.fingerprint(project), progress=tell
        )
    finally:
        await close(teacher)


def filtered(project: Project, written: SynthesisReport, labelled: TeachReport) -> list[str]:
    """What was kept and what was not."""
    dropped = sum(written.dropped.values())
    rows = ["| dropped because | inputs | share of those written | for instance |", "|---|---|---|---|"]
    for reason, count in written.dropped.items():
        shown = (written.shown.get(reason) or [""])[0].replace("|", "/").replace("\n", " ")[:70]
        rows.append(f"| {reason} | {count} | {count / written.written:.1%} | {shown} |")
    agreed = [float(same) for same in agreement(project)]
    same = interval(estimate(Mean(np.array(agreed)), len(agreed))) if agreed else "nothing to compare"
    return [
        f"{written.kept} of {written.wanted} examples kept; of {written.written} inputs looked at {dropped} were dropped. "
        f"{written.calls} calls now, {written.reused} before, {written.failed} failed; {written.seconds:.0f} s of writing and "
        f"{labelled.seconds:.0f} s of labelling in the last run, on a busy machine.",
        "",
        *rows,
        "",
        f"The teacher's label is the one that the writer was asked for on {same} of {len(agreed)}.",
    ]


def table(project: Project, more: Sequence[dict[str, Any]]) -> list[str]:
    """Each student on the four sets of examples, against the real ones alone."""
    examples = example_set(project, "test", "gold")
    everything = list(project.store.labels.read("train"))
    real = [one for one in everything if not one.example.synthetic]
    written = [one for one in everything if one.example.synthetic]
    asked = intended(project)
    wanted = [Labelled(one.example, asked[one.example.id], "asked for") for one in written if one.example.id in asked]
    chosen = random.Random(SEED).sample(list(more), min(len(written), len(more)))
    others = [Labelled(Example(one["id"], {"text": one["text"]}, "train"), one["label"], "import") for one in chosen]
    sets = {
        "real alone": real,
        "and synthetic, teacher's labels": [*real, *written],
        "and synthetic, labels asked for": [*real, *wanted],
        "and as many more real": [*real, *others],
    }
    rows = [
        f"n = {len(examples.examples)} test texts, {REPEATS} trainings each; intervals are paired, with the noise of training.",
        "",
        "| student | learnt from | examples | accuracy | gain |",
        "|---|---|---|---|---|",
    ]
    for name in STUDENTS:
        found = {what: measured(project, name, train, examples) for what, train in sets.items()}
        alone = found["real alone"]
        for what, train in sets.items():
            value = float(np.mean([np.ravel(one(np.arange(len(examples.ids))[None, :]))[0] for one in found[what]]))
            gain = "" if what == "real alone" else interval(difference(found[what], alone, len(examples.ids)), "+.4f")
            rows.append(f"| {name} | {what} | {len(train)} | {value:.4f} | {gain} |")
            print(rows[-1], file=sys.stderr, flush=True)
    return rows


def measured(project: Project, name: str, train: Sequence[Labelled], examples: ExampleSet) -> list[Statistic]:
    def silent(share: float, shown: Mapping[str, object]) -> None:
        pass

    one, right = candidate(project, name), [e.value for e in examples.examples]
    found = []
    for repeat in range(REPEATS):
        answers = [p.value for p in point(project, one, train, repeat, examples, silent).predictions]
        found.append(statistic(project, "test", project.task.metric, right, answers))
    return found


def difference(ours: Sequence[Statistic], theirs: Sequence[Statistic], n: int) -> Estimate:
    apart = scores({1: [Apart(*pair) for pair in zip(ours, theirs, strict=True)]}, n, 0)
    low, high = np.quantile(apart.draws[0], [0.025, 0.975])
    return Estimate(float(apart.means[0]), float(low), float(high))


def interval(found: Estimate, form: str = ".3f") -> str:
    return f"{found.value:{form}} ({found.low:{form}} to {found.high:{form}})"


if __name__ == "__main__":
    raise SystemExit(main())
