"""Prompt search beside the hand-written prompt, and beside DSPy's optimisers with as many calls.

    python -m bench.search --model PATH.gguf --n 150 --work FOLDER [--dspy PYTHON]    # half an hour on 2 quiet cores

`clinc150` (Larson et al. 2019, CC BY 3.0), some of its intents, drawn with a seed: shots and proposals from train, choice on
dev, test is answered once by each. DSPy runs in an interpreter of its own (`--dspy`, a virtual environment with dspy), since
its provider library wants an older OpenAI client than ours, and asks the same file served by the same llama.cpp.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench.projects import answer, drawn, lines, make_project, write_log
from tutelage import settings
from tutelage.cli.train import train_one
from tutelage.evaluation.candidates import candidate
from tutelage.evaluation.harness import answers, example_set
from tutelage.evaluation.intervals import difference, estimate
from tutelage.evaluation.metrics import Mean, accuracy
from tutelage.llamacpp import Server
from tutelage.project import Project
from tutelage.types import Split

SEED, CONTEXT = 7, 4096
OPTIMISERS = ["BootstrapFewShotWithRandomSearch", "MIPROv2"]
INSTRUCTIONS = "Which intent has the user of a voice assistant who says this?"
TASK = """
name = "clinc150"
output = "label"
labels = {labels}
instructions = "{instructions}"
[candidates.hand-written]
family = "prompted"
provider = "gguf"
model = "{model}"
structured = "choice"
max_tokens = 64
logprobs = false
threads = {threads}
[candidates.search]
family = "prompt-search"
of = "hand-written"
calls = {calls}
proposals = {proposals}
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    small = settings.weights_folder() / "smollm2-135m" / "smollm2-135m-instruct.q4_1.gguf"
    parser.add_argument("--model", type=Path, default=small, help="GGUF file")
    parser.add_argument("--n", type=int, default=150, help="examples of test")
    parser.add_argument("--work", type=Path, required=True, help="folder for the project; used again, it goes on")
    parser.add_argument("--calls", type=int, default=400, help="calls of each search")
    parser.add_argument("--proposals", type=int, default=4)
    parser.add_argument("--intents", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2, help="of llama.cpp")
    parser.add_argument("--dspy", type=Path, default=Path(sys.executable), help="a Python that has dspy")
    chosen = parser.parse_args()
    project, splits = made(chosen)
    start = time.perf_counter()
    fit = train_one(project, candidate(project, "search")).card["fit"]
    took = time.perf_counter() - start
    if problems := answer(project, ["hand-written", "search"], "test"):
        print(problems, file=sys.stderr)
        return 1
    rows = {name: (scores(project, name), "") for name in ("hand-written", "search")}
    rows["search"] = rows["search"][0], f"{fit['calls']} calls, {fit['asked_now']} of them now in {took:.0f} s"
    said = f"- search on dev: {fit['summary']}"
    told, beside = other(chosen, project, splits)
    write_log(
        f"search: clinc150, {chosen.intents} intents, {chosen.calls} calls, n = {len(splits['test'])}, {chosen.model.stem}",
        table(rows | beside, len(splits["test"])) + f"\n\n{said}\n{told}",
    )
    return 0


def made(chosen: argparse.Namespace) -> tuple[Project, dict[Split, list[dict[str, Any]]]]:
    splits: dict[Split, list[dict[str, Any]]] = {split: lines("clinc150", split) for split in ("train", "dev", "test")}
    intents = sorted({one["label"] for one in splits["train"]} - {"oos"})
    kept = sorted(random.Random(SEED).sample(intents, chosen.intents))
    sizes = {"train": 20 * chosen.intents, "dev": 150, "test": chosen.n}
    splits = {
        split: drawn([one for one in found if one["label"] in kept], sizes[split], SEED)
        for split, found in splits.items()
    }
    task = TASK.format(
        labels=json.dumps(kept), instructions=INSTRUCTIONS, model=chosen.model.resolve(), threads=chosen.threads,
        calls=chosen.calls, proposals=chosen.proposals,
    )  # fmt: skip
    return make_project(chosen.work, task, "label", splits), splits


def scores(project: Project, name: str) -> Mean:
    examples = example_set(project, "test")
    found = answers(project, candidate(project, name), examples)
    assert found is not None, "just answered"
    return accuracy(project.task, [one.value for one in examples.examples], [one.value for one in found[0]])


def other(
    chosen: argparse.Namespace, project: Project, splits: dict[Split, list[dict[str, Any]]]
) -> tuple[str, dict[str, tuple[Mean, str]]]:
    """What DSPy finds with as many calls: a line to tell, and rows for the table."""
    if subprocess.run([chosen.dspy, "-c", "import dspy"], capture_output=True).returncode:
        return f"- DSPy: SKIPPED, {chosen.dspy} has no dspy. Name a Python that has it: --dspy PYTHON", {}
    examples = example_set(project, "test").examples  # in the order of the store
    server = Server.join(chosen.model.resolve(), CONTEXT, chosen.threads)
    files = [chosen.work.resolve() / name for name in ("dspy-asked.json", "dspy-answered.json")]
    asked = {
        "address": f"{server.address}/v1",
        "model": chosen.model.stem,
        "instructions": INSTRUCTIONS,
        "labels": list(project.file.labels or ()),
        "train": [{"text": one["text"], "label": one["label"]} for one in splits["train"]],
        "dev": [{"text": one["text"], "label": one["label"]} for one in splits["dev"]],
        "test": [{"text": one.example.input["text"], "label": one.value} for one in examples],
        "calls": chosen.calls,
        "seed": SEED,
        "optimisers": OPTIMISERS,
    }
    files[0].write_text(json.dumps(asked), encoding="utf-8")
    try:
        ran = subprocess.run([chosen.dspy, Path(__file__).with_name("search_dspy.py"), *files], check=False)
    finally:
        server.leave()
    if ran.returncode:
        return f"- DSPy: ended with status {ran.returncode}, see above", {}
    found = json.loads(files[1].read_text(encoding="utf-8"))
    gold, rows, problems = [one.value for one in examples], {}, ""
    for name in ("plain", *OPTIMISERS):
        if "problem" in found[name]:
            problems += f"\n- DSPy {name}: {found[name]['problem']}"
            continue
        took = f"{found[name]['calls']} calls in {found[name]['seconds']:.0f} s" if found[name]["calls"] else ""
        rows[f"DSPy {name}"] = accuracy(project.task, gold, found[name]["labels"]), took
    return f"- DSPy {found['version']}, its own prompts and parsing{problems}", rows


def table(rows: dict[str, tuple[Mean, str]], n: int) -> str:
    shown = ["| prompt | accuracy on test (95 %) | to hand-written | search |", "|---|---|---|---|"]
    base = rows["hand-written"][0]
    for name, (scored, took) in rows.items():
        value, paired = estimate(scored, n), difference(scored, base, n)
        against = "" if name == "hand-written" else f"{paired.value:+.3f} ({paired.low:+.3f} to {paired.high:+.3f})"
        shown.append(f"| {name} | {value.value:.3f} ({value.low:.3f} to {value.high:.3f}) | {against} | {took} |")
    return "\n".join(shown)


if __name__ == "__main__":
    sys.exit(main())
