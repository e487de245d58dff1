"""tutelage harvest: the gateway's traces become examples and labels."""

from __future__ import annotations

import click

from tutelage.cli.keys import Moment
from tutelage.cli.options import emit, json_option, project_options
from tutelage.gateway.settings import database_of
from tutelage.labels.harvest import HarvestOptions, HarvestReport, Whose, harvest
from tutelage.project import Project
from tutelage.store import Store, open_store


@click.command("harvest")
@click.option("--n", type=click.IntRange(min=0), default=200, show_default=True, help="Inputs to take.")
@click.option("--since", type=Moment(-1), help="Of traces not older than this: 1h, 7d or a time (UTC).")
@click.option("--until", type=Moment(-1), help="Of traces older than this.")
@click.option(
    "--labels",
    type=click.Choice(["all", "people", "none"]),
    default="all",
    show_default=True,
    help="Whose answers become labels: people's feedback and the teacher's, people's alone, nobody's.",
)
@click.option(
    "--trust", "trusted", multiple=True, metavar="NAME", help="Take labels of these people only. Repeat for more."
)
@click.option(
    "--traces", "origin", metavar="URL", help="Database of the traces (default: as `tutelage serve` takes it)."
)
@click.option("--dry-run", is_flag=True, help="Say what would be taken; store nothing.")
@json_option
@project_options
def command(
    project: Project,
    n: int,
    since: str | None,
    until: str | None,
    labels: Whose,
    trusted: tuple[str, ...],
    origin: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Make examples of what was asked of the gateway, and labels of what people and the teacher answered.

    Takes inputs in equal shares: those that the student was least sure of, those least like the examples of train, those that
    failed or were called wrong, those that were escalated, and some drawn at random. Inputs that a person has answered
    (feedback `right` or `corrected`) are always taken. All but the random ones go into train only, as they are not like the
    traffic. Harvesting the same traces again adds nothing.

    \b
    Examples:
      tutelage harvest --dry-run
      tutelage harvest --n 500 --since 7d
      tutelage harvest --labels people --trust ada --trust bob
    """
    options = HarvestOptions(n=n, since=since, until=until, trusted=trusted, labels=labels, dry_run=dry_run)
    store = _store(project, origin)
    try:
        report = harvest(project, store, options)
    finally:
        if store is not project.store:
            store.close()
    emit(report, as_json, describe(report))


def _store(project: Project, origin: str | None) -> Store:
    """Where the gateway keeps its traces: often the project's own database."""
    place = origin or str(project.database or database_of(project.folder))
    own = str(project.database or project.folder / "tutelage.db")
    return project.store if place == own else open_store(place)


def describe(report: HarvestReport) -> str:
    """The report as lines for people."""
    traces = f"{report.traces:,} traces of {report.task!r}: {report.inputs:,} inputs"
    left = [(report.unread, "hold no input"), (report.unfit, "answers do not fit the task")]
    lines = [", ".join([traces, *(f"{count:,} {what}" for count, what in left if count)])]
    taken = ", ".join(f"{count} {reason}" for reason, count in report.taken.items()) or "none"
    lines.append(f"taken: {taken}")
    splits = ", ".join(f"{count} {split}" for split, count in report.by_split.items() if count)
    would = "would add" if report.dry_run else "added"
    lines.append(
        f"{would} {report.added} examples" + (f" ({splits})" if splits else "") + f", {report.known} known before"
    )
    if report.held_back:
        lines.append(
            f"held back: {report.held_back} that people labelled belong into dev, calibration or test by their hash"
        )
    lines += [f"labels: {count} {source}" for source, count in report.labels.items()] or ["labels: none"]
    if not report.traces:
        lines.append("Nothing was asked of this task yet, or the traces are elsewhere: --traces URL.")
    return "\n".join(lines)
