"""Does a local judge agree with people? Pairwise, both orders, beside judges that read nothing.

    python -m bench.judge                              # the largest local model found, everything; hours on 2 cores
    python -m bench.judge --model PATH.gguf --n 100    # at most 100 pairs a set, the same ones every time

Data in TUTELAGE_DATA: pandalm_pairs test (Wang et al. 2023, three votes a pair, ties) and llmbar_pairs (Zeng et al. 2024, one
answer objectively better, no ties), its natural and adversarial parts and the sets it took from others. Verdicts are
kept in --work as they arrive: the same command goes on where it was stopped. Prints its table and appends it to bench/LOG.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from tutelage import settings
from tutelage.cli.judge import shown
from tutelage.errors import TutelageError
from tutelage.evaluation.asking import Progress
from tutelage.evaluation.judge.agreement import Check, check
from tutelage.evaluation.judge.judges import Judge, judge_named
from tutelage.evaluation.judge.votes import Votes, read_votes, sample
from tutelage.project import Project, open_project

LOG = Path(__file__).with_name("LOG.md")
MODELS = ("qwen2.5-coder-1.5b", "qwen2.5-coder-0.5b", "smollm2-135m")

SETS: dict[str, tuple[str, Callable[[Mapping[str, Any]], bool]]] = {
    "pandalm": ("pandalm_pairs", lambda row: True),
    "llmbar natural": ("llmbar_pairs", lambda row: row.get("subset") == "natural"),
    "llmbar adversarial": ("llmbar_pairs", lambda row: str(row.get("subset")).startswith("adv_")),
    "llmbar others": ("llmbar_pairs", lambda row: not str(row.get("subset")).startswith(("adv_", "natural"))),
}


class Done(NamedTuple):
    """One set: the file's votes, the figures, and the wall seconds of what was asked now."""

    name: str
    votes: Votes
    found: Check
    seconds: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a GGUF file; default: the largest of the fetched weights")
    parser.add_argument("--n", type=int, help="pairs a set at most, chosen by hash")
    parser.add_argument("--only", choices=list(SETS), help="one set")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "tutelage-bench-judge")
    parser.add_argument("--no-log", action="store_true", help="print the table only")
    chosen = parser.parse_args()
    model = chosen.model or default_model()
    if model is None:
        print(
            f"SKIPPED: none of {', '.join(MODELS)} is in {settings.weights_folder()}. Run: python scripts/weights.py {MODELS[0]}"
        )
        return 0
    project = make_project(chosen.work, model.expanduser().resolve())
    done = []
    for name in [chosen.only] if chosen.only else SETS:
        path = settings.data_folder() / SETS[name][0] / "test.jsonl.gz"
        if not path.is_file():
            print(f"SKIPPED: there is no {path}. Set TUTELAGE_DATA to the folder that holds {SETS[name][0]}.")
            continue
        try:
            done.append(judged(project, judge_named(project, "local"), name, path, chosen.n))
        except TutelageError as error:
            print(f"Error: {error} Verdicts are kept in {chosen.work}.", file=sys.stderr)
            return 1
    text = table(model, done, chosen.n)
    print(text)
    if done and not chosen.no_log:
        with LOG.open("a", encoding="utf-8") as log:
            log.write(text)
    return 0


def default_model() -> Path | None:
    files = [file for name in MODELS for file in sorted((settings.weights_folder() / name).glob("*.gguf"))]
    return files[0] if files else None


def make_project(folder: Path, model: Path) -> Project:
    """A project that keeps the verdicts, with one judge: an answer is one token or two."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "task.toml").write_text(
        'name = "pairs"\noutput = "label"\nlabels = ["a", "b"]\n\n[judges.local]\nkind = "pairwise"\nprovider = "gguf"\n'
        f'model = {json.dumps(str(model))}\nstructured = "choice"\nmax_tokens = 4\nrepairs = 0\n',
        encoding="utf-8",
    )
    return open_project(folder)


def judged(project: Project, judge: Judge, name: str, path: Path, n: int | None) -> Done:
    votes = read_votes(path, keep=SETS[name][1])
    start = said = time.monotonic()

    def tell(state: Progress) -> None:
        nonlocal said
        if time.monotonic() - said > 15:
            said = time.monotonic()
            print(f"{name}: {state.done} of {state.total} questions", file=sys.stderr, flush=True)

    found = asyncio.run(check(project, judge, sample(votes.votes, n), tell))
    return Done(name, votes, found, time.monotonic() - start)


def table(model: Path, done: list[Done], n: int | None) -> str:
    lines = [
        f"\n## judge, {datetime.now(UTC):%Y-%m-%d}: {model.name}, pairwise, both orders"
        f"{f', at most {n} pairs a set' if n else ''}\n",
        "| pairs | judge | agreement | ties half | both decided | kappa |",
        "|---|---|---|---|---|---|",
    ]
    for name, _, found, _ in done:
        for row in found.rows:
            who = model.stem if row.name == found.judge else row.name
            decided = f"{shown(row.decided)}, n {row.n_decided}"
            lines.append(f"| {name} | {who} | {shown(row.all)} | {shown(row.half)} | {decided} | {shown(row.kappa)} |")
    lines.append("")
    for name, votes, found, seconds in done:
        parts = [f"{found.n} pairs, {found.human_ties} of them ties"]
        if at := found.positions:
            parts.append(f"position bias {shown(at.bias)} ({at.first} the first, {at.second} the second)")
            parts.append(f"same outcome in both orders {shown(at.consistent)}")
        if found.people:
            parts.append(f"two people agree {shown(found.people)}")
        parts += [
            f"{found.rows[0].failed} without a verdict, {votes.undecided} without a majority, {len(votes.bad)} unusable"
        ]
        if found.asked:
            parts.append(f"{seconds / found.asked:.2f} s a question")
        lines.append(f"- {name}: {'; '.join(parts)}.")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    sys.exit(main())
