"""What holds in new layouts: invoices of train and dev, each layout answered by a multitask tagger that never saw it.

    python -m bench.layouts --work FOLDER --rows 16 --set epochs=3 batch_size=4 learning_rate=0.0002    # 10 minutes on a core

Dev has four layouts, too few to choose on. Here the 24 of train and dev are dealt to `--folds`; `--rows` of each layout of the
other folds are learned (those of one layout are near repeats) and `--held` of each layout left out are answered. Settings are
chosen by this, test is scored once (bench.records). Prints, appends nothing.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.projects import answer, drawn, lines, report
from bench.records import NAME, SEED, TEACHER, add, task
from tutelage import settings
from tutelage.cli.train import train_one
from tutelage.evaluation.candidates import candidate
from tutelage.evaluation.results import Row
from tutelage.project import open_project

METRICS = ("exact_match", "field_f1")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the projects; used again, it goes on")
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--rows", type=int, default=16, help="examples of each layout that are learned")
    parser.add_argument("--held", type=int, default=25, help="examples of each layout that are answered")
    parser.add_argument("--base", default=str((settings.weights_folder() / "minilm").resolve()))
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="settings of the student")
    chosen = parser.parse_args()
    layouts: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for one in (*lines("invoices", "train"), *lines("invoices", "dev")):
        layouts[one["layout"]].append(one)
    names = sorted(layouts)
    rows = []
    for number in range(chosen.folds):
        rows.append(row := fold(layouts, names[number :: chosen.folds], chosen.work / f"fold-{number}", chosen))
        print(f"{', '.join(names[number :: chosen.folds])}: {shown([row])}", flush=True)
    print(f"all {len(names)} layouts, {chosen.held} of each: {shown(rows)}")
    return 0


def fold(
    layouts: Mapping[str, list[dict[str, Any]]], held: Sequence[str], folder: Path, chosen: argparse.Namespace
) -> Row:
    """Learn from the other layouts, answer those of `held`."""
    train = [one for name in sorted(layouts) if name not in held for one in drawn(layouts[name], chosen.rows, SEED)]
    test = [one for name in held for one in drawn(layouts[name], chosen.held, SEED)]
    given = "".join(f"{name} = {value}\n" for name, _, value in (one.partition("=") for one in chosen.set))
    head = f'\n[candidates.{NAME}]\nfamily = "{NAME}"\nbase = "{chosen.base}"\nlabels = "teacher"\n{given}'
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "task.toml").write_text(task("invoices", train) + head, encoding="utf-8")
    project = open_project(folder)
    add(project, folder, "train", [one | {"fields": one["teacher"]["fields"]} for one in train], TEACHER)
    add(project, folder, "test", test, "import")
    train_one(project, candidate(project, NAME))
    answer(project, [NAME], "test")
    return report(project, [NAME], "test")[0].candidates[0]


def shown(rows: Sequence[Row]) -> str:
    """The means over the folds, which are of equal size."""
    scores = {metric: np.mean([row.scores[metric].value for row in rows]) for metric in METRICS}
    scores |= {name: np.mean([row.fields[name].exact.value for row in rows]) for name in rows[0].fields}
    return " ".join(f"{name} {value:.3f}" for name, value in scores.items())


if __name__ == "__main__":
    sys.exit(main())
