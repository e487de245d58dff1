"""Records from spans: the multitask tagger on invoices (a recorded teacher's labels alone), ingredients and snips' slots.

    python -m bench.records --work FOLDER --only invoices
    python -m bench.records --work FOLDER --only ingredients --train 2000 --set epochs=4
    python -m bench.records --work FOLDER --only invoices --dev      # scored on dev, where choices are made; appends nothing

A project for each set in FOLDER; what is trained or answered there is not done again. `invoices` learns and chooses by the
recorded teacher's labels and is scored against gold on layouts that are in neither train nor dev; wanted are more than 67.5 %
of whole documents right and field F1 above 94.1 %, which the set's source publishes for a LoRA student of 1.5B, and a p50 below a
twentieth of the teacher's. Data: invoices (Apache-2.0), ingredients (MIT), snips (CC0).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.projects import answer, drawn, lines, report, write_log
from bench.structured import TASKS, task_toml
from tutelage import settings
from tutelage.cli.train import train_one
from tutelage.evaluation.candidates import candidate
from tutelage.evaluation.results import Report, Row
from tutelage.labels.adding import AddOptions, add_file
from tutelage.labels.splitting import example_id
from tutelage.project import Project, newest_artefact, open_project, read_card
from tutelage.types import Split

SEED = 7
SETS = {"invoices": ["test"], "ingredients": ["test", "test_newsource"], "snips": ["test"]}
TEACHER = "teacher:deepseek@recorded"
WANTED = {"exact_match": 0.675, "field_f1": 0.941}
FASTER = 20
SHOWN = ("exact_match", "field_f1", "micro_field_f1", "token_f1")
NAME = "multitask-tagger"
ONE_BY_ONE = 200
"""Inputs that are answered one at a time for the p50 of an answer."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the projects; used again, it goes on")
    parser.add_argument("--only", nargs="*", default=list(SETS), choices=list(SETS))
    parser.add_argument("--train", type=int, help="examples of train, drawn with a seed (default: all)")
    parser.add_argument("--dev", action="store_true", help="score on dev, write no log")
    parser.add_argument("--base", default=str((settings.weights_folder() / "minilm").resolve()))
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="settings of the student")
    chosen = parser.parse_args()
    for dataset in chosen.only:
        for test in SETS[dataset]:
            body = asyncio.run(measured(dataset, test, chosen))
            if chosen.dev:
                print(body)
                break
            write_log(f"records: {dataset} {test}", body)
    return 0


async def measured(dataset: str, test: str, chosen: argparse.Namespace) -> str:
    project = made(dataset, test, chosen)
    split: Split = "dev" if chosen.dev else "test"
    card = dict(train_one(project, candidate(project, NAME)).card)
    names = [NAME, *(["teacher"] if "teacher" in project.file.candidates else [])]
    await asyncio.to_thread(answer, project, names, split)
    result, _ = report(project, names, split)
    student = candidate(project, NAME)
    inputs = [one.input for one in project.store.examples.read(split)][:ONE_BY_ONE]
    predictor, seconds = student.family.build(NAME, student.settings, project), []
    for one in inputs:
        start = time.perf_counter()
        await predictor.predict([one])
        seconds.append(time.perf_counter() - start)
    return table(project, result, card, float(np.median(seconds)))


def made(dataset: str, test: str, chosen: argparse.Namespace) -> Project:
    """The project of a set: task.toml, examples and labels, and the teacher's recorded answers where there are any."""
    splits: dict[Split, list[dict[str, Any]]] = {
        "train": lines(dataset, "train"),
        "dev": lines(dataset, "dev"),
        "test": lines(dataset, test),
    }
    if chosen.train:
        splits["train"] = drawn(splits["train"], chosen.train, SEED)
    folder: Path = chosen.work / (dataset if test == "test" else f"{dataset}-{test}")
    folder.mkdir(parents=True, exist_ok=True)
    if test != "test" and (chosen.work / dataset / "artefacts").is_dir():  # learnt from the same: not trained again
        shutil.copytree(chosen.work / dataset / "artefacts", folder / "artefacts", dirs_exist_ok=True)
    given = "".join(f"{name} = {value}\n" for name, _, value in (one.partition("=") for one in chosen.set))
    labels = "teacher" if dataset == "invoices" else "gold"
    head = task(dataset, splits["train"])
    head += f'\n[candidates.{NAME}]\nfamily = "{NAME}"\nbase = "{chosen.base}"\nlabels = "{labels}"\n{given}'
    if dataset == "invoices":
        head += '\n[candidates.teacher]\nfamily = "replay"\nfile = "teacher.jsonl"\n'
        recorded = [replayed(one) for split in ("dev", "test") for one in splits[split]]  # type: ignore[index]
        (folder / "teacher.jsonl").write_text("\n".join(recorded) + "\n", encoding="utf-8")
    (folder / "task.toml").write_text(head, encoding="utf-8")
    project = open_project(folder)
    for split, examples in splits.items():
        add(project, folder, split, examples, "import")
        if dataset == "invoices" and split != "test":
            taught = [one | {"fields": one["teacher"]["fields"]} for one in examples]
            add(project, folder, split, taught, TEACHER)
    return project


def add(project: Project, folder: Path, split: Split, examples: list[dict[str, Any]], source: str) -> None:
    path = folder / f"{split}.jsonl"
    rows = [{"text": one["text"], "fields": one["fields"]} for one in examples]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    found = add_file(project, path, AddOptions(split=split, label="fields", source=source))
    if found.rejected:
        print(f"{split}: {found.rejected} of {len(examples)} lines of the data set cannot be used", file=sys.stderr)


def task(dataset: str, train: list[dict[str, Any]]) -> str:
    if dataset in TASKS:
        return task_toml(dataset)
    slots = sorted({name for one in train for name in one["fields"]})
    kinds = "".join(f'{name} = {{ type = "array", items = {{ type = "string" }} }}\n' for name in slots)
    instructions = "Which things does the command to a voice assistant name?"
    head = f'name = "{dataset}"\noutput = "record"\ninstructions = "{instructions}"\n'
    return f'{head}[schema]\ntype = "object"\n[schema.properties]\n{kinds}'


def replayed(one: dict[str, Any]) -> str:
    taught = one["teacher"]
    usage = {"seconds": taught["seconds"], "dollars": taught["dollars"], "input_tokens": taught["input_tokens"]}
    usage["output_tokens"] = taught["output_tokens"]
    return json.dumps({"id": example_id({"text": one["text"]}), "value": taught["fields"], "usage": usage})


def table(project: Project, result: Report, card: dict[str, Any], p50: float) -> str:
    """Quality with intervals, the fields, what it cost to train, how fast it answers."""
    metrics = [metric for metric in SHOWN if metric in result.candidates[0].scores]
    rows = {row.name: row for row in result.candidates}
    ours, teacher = rows[NAME], rows.get("teacher")
    found = [f"| n = {result.n} | {' | '.join(metrics)} | p50 ms, one by one |", "|---" * (len(metrics) + 2) + "|"]
    found.append(f"| {NAME} | {shown(ours, metrics)} | {p50 * 1000:.1f} |")
    if teacher:
        found.append(f"| the recorded teacher | {shown(teacher, metrics)} | {teacher.latency.p50 * 1000:.0f} |")
    fit, names = card["fit"], list(ours.fields)
    found += ["", f"| field | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    found.append(f"| right | {' | '.join(f'{ours.fields[name].exact.value:.3f}' for name in names)} |")
    if teacher:
        found.append(f"| teacher | {' | '.join(f'{teacher.fields[name].exact.value:.3f}' for name in names)} |")
    folder = newest_artefact(project, NAME)
    assert folder is not None and read_card(folder)["candidate"] == NAME
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
    base, plan, train = Path(fit["base"]["name"]).name, fit["plan"], card["train"]
    found += [
        "",
        f"- base {base}, {train} in train, {plan['epochs']} epochs of batches of {plan['batch_size']} at "
        f"{plan['learning_rate']}, trained in {card['seconds']:.0f} s ({fit['trained_in']}), epoch {fit['best_epoch']} kept "
        f"of dev scores {fit['dev_scores']}; served in {fit['precision']}, {size:.1f} MB.",
        f"- Values of train that stand nowhere in their text: {fit['values_not_in_text']}, for instance "
        f"{'; '.join(fit['values_not_in_text_shown'][:3]) or 'none'}.",
    ]
    return "\n".join(found + (verdict(ours, teacher, p50) if teacher else []))


def shown(row: Row, metrics: list[str]) -> str:
    scores = [row.scores[metric] for metric in metrics]
    return " | ".join(f"{one.value:.4f} ({one.low:.4f} to {one.high:.4f})" for one in scores)


def verdict(ours: Row, teacher: Row, p50: float) -> list[str]:
    held = [ours.scores[name].value > least for name, least in WANTED.items()]
    times = teacher.latency.p50 / p50
    return [
        f"- wanted: {', '.join(f'{name} > {least}' for name, least in WANTED.items())}: "
        f"{'reached' if all(held) else '**NOT reached**'}; p50 below 1/{FASTER} of the teacher's: 1/{times:.0f}, "
        f"{'reached' if times > FASTER else '**NOT reached**'}."
    ]


if __name__ == "__main__":
    sys.exit(main())
