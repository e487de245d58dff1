"""A large file is added in bounded memory: the peak does not grow with the number of rows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ADD = """
import resource, sys
from pathlib import Path
from tutelage.labels.adding import AddOptions, add_file
from tutelage.project import open_project
report = add_file(open_project(Path(sys.argv[1])), Path(sys.argv[2]), AddOptions(label="label"))
print(report.added, report.rejected, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def peak(folder: Path, rows: int, suffix: str, width: int = 40) -> int:
    """Peak memory in MB of a process that adds `rows` rows, of which every 100th is bad."""
    folder.mkdir()
    (folder / "task.toml").write_text('name = "t"\noutput = "label"\nlabels = ["a", "b"]\n')
    path = folder / f"rows.{suffix}"
    with path.open("w") as file:
        if suffix == "csv":
            file.write("text,label\n")
        for n in range(rows):
            text, label = f"{n:0{width}d}", "c" if n % 100 == 0 else "ab"[n % 2]
            file.write(f"{text},{label}\n" if suffix == "csv" else json.dumps({"text": text, "label": label}) + "\n")
    output = subprocess.check_output([sys.executable, "-c", ADD, str(folder), str(path)], text=True, timeout=300)
    added, rejected, memory = map(int, output.split())
    assert (added, rejected) == (rows - rows // 100, rows // 100)
    return memory


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    small = peak(tmp_path / "small", 5_000, "csv")
    # 32 MiB of it are the database's cache; the file's rows alone, held as they come, would be another 60.
    assert peak(tmp_path / "csv", 100_000, "csv") - small < 60
    assert peak(tmp_path / "jsonl", 100_000, "jsonl") - small < 60


def test_memory_does_not_grow_with_the_width_of_rows(tmp_path: Path) -> None:
    # 600 MB in all, 400 MB in a batch if batches were counted in rows alone.
    narrow = peak(tmp_path / "narrow", 300, "csv")
    assert peak(tmp_path / "wide", 3_000, "jsonl", 200_000) - narrow < 250
