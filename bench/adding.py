"""How fast a million short rows are added, and in how much memory.

    python -m bench.adding               # 5 minutes; appends its table to bench/LOG.md
    python -m bench.adding 100000        # fewer rows

Each file is added in a process of its own: every row is new, then the same file once more, when every row is a
duplicate. Seconds include reading; those of the processor do not depend on what else the machine does. Memory is the
process's peak, of which the libraries alone take the first line's. The last line is SQLite alone: the same examples and
labels by `executemany` in the same transactions into tables with the same indexes, nothing read, mapped or checked.
"""

from __future__ import annotations

import json
import random
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from tutelage.labels.adding import BATCH, AddOptions, add_file
from tutelage.project import open_project
from tutelage.types import canonical_json, digest

LOG = Path(__file__).with_name("LOG.md")
LABELS = ("billing", "delivery", "other")
TASK = f'name = "topics"\noutput = "label"\nlabels = {json.dumps(LABELS)}\n'


def main() -> None:
    if len(sys.argv) == 4:
        one_run(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
        return
    rows = int(sys.argv[1]) if len(sys.argv) == 2 else 1_000_000
    lines = ["| what | rows/s | rows per CPU s | peak memory, MB |", "|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_files(folder, rows)
        for what, kind, project, file in (
            ("nothing: the libraries and 1 row", "add", "one", "one.csv"),
            ("CSV, all new", "add", "csv", "rows.csv"),
            ("CSV, all duplicates", "add", "csv", "rows.csv"),
            ("JSONL, all new", "add", "jsonl", "rows.jsonl"),
            ("SQLite alone", "bare", "bare", "rows.csv"),
        ):
            command = [sys.executable, "-m", "bench.adding", kind, str(folder / project), str(folder / file)]
            seconds, busy, memory = map(float, subprocess.check_output(command, text=True).split())
            rates = " | " if file == "one.csv" else f"{rows / seconds:,.0f} | {rows / busy:,.0f}"
            lines.append(f"| {what} | {rates} | {memory:.0f} |")
            print(lines[-1], flush=True)
    table = "\n".join(lines)
    with LOG.open("a", encoding="utf-8") as log:
        log.write(
            f"\n## {datetime.now(UTC):%Y-%m-%d} adding: {rows:,} rows of about 60 characters with a label\n\n{table}\n"
        )


def write_files(folder: Path, rows: int) -> None:
    chance = random.Random(7)
    with (folder / "rows.csv").open("w") as csv, (folder / "rows.jsonl").open("w") as jsonl:
        csv.write("text,label\n")
        for n in range(rows):
            text, label = f"please tell me about order {n} of {chance.random()}", chance.choice(LABELS)
            csv.write(f"{text},{label}\n")
            jsonl.write(json.dumps({"text": text, "label": label}) + "\n")
    (folder / "one.csv").write_text("text,label\nhello,other\n")


def one_run(kind: str, folder: Path, file: Path) -> None:
    """Print the seconds, those of the processor, and the peak memory in MB of one run."""
    folder.mkdir(exist_ok=True)
    (folder / "task.toml").write_text(TASK)
    run: Callable[[Path, Path], None] = add if kind == "add" else bare
    start, busy = time.perf_counter(), time.process_time()
    run(folder, file)
    print(
        time.perf_counter() - start,
        time.process_time() - busy,
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
    )


def add(folder: Path, file: Path) -> None:
    add_file(open_project(folder), file, AddOptions(label="label"))


def bare(folder: Path, file: Path) -> None:
    database = sqlite3.connect(folder / "bare.db")
    for statement in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=NORMAL", "PRAGMA cache_size=-32768"):
        database.execute(statement)
    database.execute("CREATE TABLE examples (seq INTEGER PRIMARY KEY, id TEXT UNIQUE, input TEXT, split TEXT)")
    database.execute("CREATE INDEX examples_split ON examples (split, seq)")
    database.execute("CREATE TABLE labels (seq INTEGER PRIMARY KEY, id TEXT, value TEXT, source TEXT, created TEXT)")
    database.execute("CREATE INDEX labels_example ON labels (id, source)")
    batch: list[tuple[str, str, str]] = []
    with file.open() as lines:
        next(lines)
        for line in lines:
            text, _, label = line.rstrip().partition(",")
            batch.append((digest({"text": text}), canonical_json({"text": text}), label))
            if len(batch) == BATCH:
                store(database, batch)
                batch = []
    store(database, batch)


def store(database: sqlite3.Connection, batch: list[tuple[str, str, str]]) -> None:
    with database:
        rows = [(id, text) for id, text, _ in batch]
        database.executemany("INSERT INTO examples (id, input, split) VALUES (?, ?, 'train')", rows)
        labels = [(id, label) for id, _, label in batch]
        insert = "INSERT INTO labels (id, value, source, created) VALUES (?, ?, 'import', '2026-01-01')"
        database.executemany(insert, labels)


if __name__ == "__main__":
    main()
