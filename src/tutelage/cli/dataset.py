"""tutelage dataset: examples and labels as a file for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import click

from tutelage.cli.options import emit, json_option, project_options
from tutelage.errors import UnknownName, UsageError
from tutelage.labels.formats import FORMATS
from tutelage.labels.formats.base import Aspect, Format, Which
from tutelage.labels.formats.writing import DatasetOptions, DatasetReport, write_dataset
from tutelage.project import Project
from tutelage.review.preference_files import STYLES, describe_pairs, write_pairs
from tutelage.store.labels import Origin
from tutelage.types import SPLITS, Split

_WHICH: dict[str, Which] = {"in-force": "one", "all": "all"}
_SPLITS: Aspect = "splits"


@click.command("dataset")
@click.option("--to", "name", required=True, metavar="|".join([*FORMATS.rows(), *STYLES]), help="The format.")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), metavar="PATH", help="File, or with hf folder, to write."
)
@click.option(
    "--split",
    type=click.Choice([*SPLITS, "all"]),
    help="Examples of one split (default: all; openai has no place for splits and wants to be told).",
)
@click.option(
    "--whose",
    type=click.Choice(["gold", "teacher", "weak", "any"]),
    default="any",
    show_default=True,
    help="Labels of people and imports, of a teacher, pseudo-labels, or any, gold first.",
)
@click.option("--source", metavar="SOURCE", help="Labels of this source alone, e.g. human:ada.")
@click.option(
    "--labels",
    "which",
    type=click.Choice(list(_WHICH)),
    help="The label in force, or everybody's (default: everybody's for label-studio, argilla and prodigy).",
)
@click.option("--unlabelled", is_flag=True, help="Write examples without a label too.")
@click.option("--force", is_flag=True, help="Overwrite what stands at PATH.")
@json_option
@project_options
def command(
    project: Project,
    name: str,
    out: Path,
    split: str | None,
    whose: Origin,
    source: str | None,
    which: str | None,
    unlabelled: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Write examples with their labels for another program; `tutelage add` reads all formats of labels back.

    \b
    csv, jsonl, parquet  a row an example, with a label and whose it is, when, with which note and how probable
    hf                   a folder for datasets.load_from_disk, a dataset for each split
    label-studio         tasks with annotations and predictions
    argilla              records with responses and suggestions
    prodigy              tasks with answers, a line for each annotator
    spacy                a DocBin with entities or categories
    openai               conversations for fine-tuning, with the teacher's prompt
    requests             requests and responses, as a gateway logs them
    dpo, openai-dpo      what people preferred on `tutelage prefer`, for TRL or OpenAI
    preferences          the same with all that is known of it

    What a tool has no place for is kept beside what it shows, where the format allows it; what is lost is said. The file is
    written whole or not at all.

    \b
    Examples:
      tutelage dataset --to csv --out labels.csv
      tutelage dataset --to openai --out train.jsonl --split train --whose gold
      tutelage dataset --to label-studio --out tasks.json --unlabelled
      tutelage dataset --to hf --out my-data
      tutelage dataset --to dpo --out pairs.jsonl --split train
    """
    if name in STYLES:
        if source or which or unlabelled or whose != "any":
            raise UsageError(
                f"{name!r} holds what people preferred, not labels. Leave out --whose, --source, --labels, --unlabelled."
            )
        pairs = write_pairs(project, out, name, _one(split), force)
        emit(pairs, as_json, describe_pairs(pairs))
        return
    if name not in FORMATS.rows():
        raise UnknownName(FORMATS.noun, name, [*FORMATS.rows(), *STYLES])
    format: Format = FORMATS.load(name)
    if split is None and _SPLITS in format.lacks:
        raise UsageError(f"{name!r} has no place for splits. Say which is written: --split train, or --split all.")
    options = DatasetOptions(
        split=_one(split),
        whose=whose,
        source=source,
        which=None if which is None else _WHICH[which],
        unlabelled=unlabelled,
        force=force,
    )
    report = write_dataset(project, name, out, options)
    emit(report, as_json, describe(report))


def _one(split: str | None) -> Split | None:
    return None if split in (None, "all") else cast(Split, split)


def describe(report: DatasetReport) -> str:
    """The report as lines for people."""
    splits = ", ".join(f"{n:,} {split}" for split, n in report.by_split.items() if n)
    lines = [f"{report.path}: {report.examples:,} examples ({splits}), {report.labels:,} labels"]
    if report.unlabelled:
        lines.append(f"{report.unlabelled:,} of them have no label.")
    if report.left_out:
        lines.append(f"{report.left_out:,} examples without such a label were left out.")
    if report.lost:
        lines.append(f"{report.format} has no place for: {', '.join(report.lost)}.")
    if report.interface:
        lines += [f"What {report.format} must be told to show it:", report.interface]
    return "\n".join(lines)
