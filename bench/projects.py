"""Projects made of data sets, for benches that compare candidates as a user would."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tutelage import settings
from tutelage.errors import TutelageError
from tutelage.evaluation.asking import Progress
from tutelage.evaluation.candidates import candidate
from tutelage.evaluation.harness import evaluate, example_set
from tutelage.evaluation.reporting import make_report
from tutelage.evaluation.results import Answered, Report
from tutelage.labels.adding import AddOptions, add_file
from tutelage.project import Project, open_project
from tutelage.types import Split

LOG = Path(__file__).with_name("LOG.md")


def lines(dataset: str, file: str) -> list[dict[str, Any]]:
    """The lines of TUTELAGE_DATA/`dataset`/`file`.jsonl.gz. Ends the bench, loudly, where there is none."""
    path = settings.data_folder() / dataset / f"{file}.jsonl.gz"
    if not path.is_file():
        print(f"SKIPPED: there is no {path}. Set TUTELAGE_DATA to the folder that holds {dataset}.")
        raise SystemExit(0)
    with gzip.open(path, "rt", encoding="utf-8") as found:
        return [json.loads(line) for line in found]


def drawn(examples: Sequence[dict[str, Any]], n: int, seed: int = 0) -> list[dict[str, Any]]:
    """`n` of the examples (all, where there are fewer), drawn with `seed`, in their order."""
    kept = sorted(random.Random(seed).sample(range(len(examples)), min(n, len(examples))))
    return [examples[at] for at in kept]


def make_project(folder: Path, task: str, label: str, splits: Mapping[Split, Sequence[Mapping[str, Any]]]) -> Project:
    """A project in `folder` with `task` as its task.toml; what it answered before is still there."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "task.toml").write_text(task, encoding="utf-8")
    project = open_project(folder)
    for split, examples in splits.items():
        path = folder / f"{split}.jsonl"
        path.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in examples), encoding="utf-8")
        report = add_file(project, path, AddOptions(split=split, label=label))
        if report.rejected:
            print(
                f"{split}: {report.rejected} of {len(examples)} lines of the data set cannot be used", file=sys.stderr
            )
    return project


def answer(project: Project, names: Sequence[str], split: Split) -> dict[str, str]:
    """Let the candidates answer `split`, one after the other, with a line of progress now and then. Returns problems."""
    examples, problems = example_set(project, split), {}
    for name in names:
        start = last = time.monotonic()

        def tell(state: Progress, name: str = name, start: float = start) -> None:
            nonlocal last
            if time.monotonic() - last > 20:
                last = time.monotonic()
                left = (last - start) / state.done * (state.total - state.done)
                print(f"{name}: {state.done} of {state.total}, {left:.0f} s left", file=sys.stderr, flush=True)

        try:
            asyncio.run(evaluate(project, candidate(project, name), examples, tell))
        except TutelageError as error:
            problems[name] = str(error)
            print(f"{name} was left out: {error}", file=sys.stderr, flush=True)
    return problems


def report(project: Project, names: Sequence[str], split: Split) -> tuple[Report, list[Answered]]:
    return make_report(project, [candidate(project, name) for name in names], example_set(project, split))


def write_log(title: str, body: str) -> None:
    """Print and keep a bench's result."""
    text = f"\n## {title}, {datetime.now(UTC):%Y-%m-%d}\n\n{body.strip()}\n"
    print(text)
    with LOG.open("a", encoding="utf-8") as log:
        log.write(text)
