"""tutelage add: examples and labels from a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from tutelage.cli.options import emit, json_option, project_options
from tutelage.cli.progress import progress
from tutelage.errors import UsageError
from tutelage.labels.adding import AddOptions, AddReport, add_file
from tutelage.labels.formats import FORMATS
from tutelage.labels.formats.detecting import COLUMNS
from tutelage.project import Project
from tutelage.types import SPLITS, Split


@click.command("add")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--split", type=click.Choice(SPLITS), help="Put every example of the file into this split.")
@click.option(
    "--field",
    "fields",
    multiple=True,
    metavar="NAME=COLUMN",
    help="Column that holds an input field (default: the column of its name). Repeat for more.",
)
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="COLUMN|NAME=COLUMN",
    help="Column with the label; rows where it is empty stay unlabelled. For a record also NAME=COLUMN, one a field.",
)
@click.option("--group", metavar="COLUMN", help="Examples with the same value here stay in one split.")
@click.option(
    "--source",
    default="import",
    show_default=True,
    metavar="SOURCE",
    help="Who gave the labels: import, human:NAME or teacher:NAME.",
)
@click.option(
    "--format",
    metavar="|".join(FORMATS.rows()),
    help="What FILE is in (default: what its name and its first rows say).",
)
@json_option
@project_options
def command(
    project: Project,
    file: Path,
    split: Split | None,
    fields: tuple[str, ...],
    labels: tuple[str, ...],
    group: str | None,
    source: str,
    format: str | None,
    as_json: bool,
) -> None:
    """Add examples (and labels) from FILE: .csv, .jsonl, .parquet, each also with .gz, a folder of `datasets`, or what an
    annotation tool, spaCy, OpenAI or a log of requests has (docs/formats.md).

    An example goes where --split says, else where the file's own column `split` says, else 70 % to train and 10 % each
    to dev, calibration and test by a hash of its input. Rows that cannot be used are kept in rejects/ with their line
    and why. Adding a file again adds nothing twice.

    The label of a `strings` or `labels` task is a JSON list, or text with ; between the strings. [] says that there is
    none to find; an empty cell says nothing. The label of a `record` task is a JSON object in one column, or has a column
    for each field: --label NAME=COLUMN, repeated; there, an empty cell is a field that is absent.

    Files of tools bring their labels with them: people's as human:NAME, models' as teacher:NAME. There --label says which
    question, or which type of spans, the labels are, and --source whose those are that have no name. So do the files that
    `tutelage dataset` writes.

    \b
    Examples:
      tutelage add stories.csv
      tutelage add tickets.jsonl.gz --field text=body --label topic
      tutelage add gold.csv --split test --label names --source human:ada
      tutelage add reviews.parquet --group customer
      tutelage add invoices.csv --label total=Amount --label date=Day
      tutelage add project-1.json --format label-studio
      tutelage add annotated.jsonl --format prodigy --label PERSON
    """
    options = AddOptions(
        split=split,
        fields=_mapping(fields),
        label=_label(project, labels),
        group=group,
        source=source,
        format=format,
    )
    report = add_with_progress(project, file, options)
    emit(report, as_json, describe(report))


def add_with_progress(project: Project, file: Path, options: AddOptions) -> AddReport:
    """`add_file` with a progress bar."""
    with progress(f"Adding {file.name}") as advance:
        return add_file(project, file, options, advance)


def describe(report: AddReport) -> str:
    """The report as lines for people."""
    splits = ", ".join(f"{n:,} {split}" for split, n in report.by_split.items())
    form = "" if report.format in COLUMNS else f" ({report.format})"
    lines = [f"{report.file}{form}: {report.read:,} rows, {report.added:,} examples added ({splits})"]
    if report.labelled:
        lines[0] += f", {report.labelled:,} labels added"
    if report.duplicates:
        lines.append(f"{report.duplicates:,} were there already.")
    if report.moved:
        lines.append(f"{report.moved:,} of them are in another split than the file wants, and stay there.")
    if report.rejected:
        lines.append(f"{report.rejected:,} could not be used, see {report.rejects_file}")
    return "\n".join(lines)


def _label(project: Project, given: Sequence[str]) -> str | dict[str, str] | None:
    """One column, or a record's fields with the column of each."""
    if not given:
        return None
    if len(given) == 1 and (project.task.output != "record" or "=" not in given[0]):
        return given[0]
    return _mapping(given, "--label")


def _mapping(fields: Sequence[str], option: str = "--field") -> dict[str, str]:
    mapping = {}
    for text in fields:
        name, equals, column = text.partition("=")
        if not (name and equals and column):
            raise UsageError(f"{text!r} does not map a field. Write: {option} NAME=COLUMN")
        mapping[name] = column
    return mapping
