"""tutelage leaderboard: who wins against whom."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click
import vl_convert

from tutelage.cli.evaluate import against_option, split_option
from tutelage.cli.options import emit, json_option, out_option, plain, project_options
from tutelage.embeddings.stored import stored_encoder
from tutelage.errors import DataError, UsageError
from tutelage.evaluation.exports import write_files
from tutelage.evaluation.preference.drawing import heat_map, ranking_charts
from tutelage.evaluation.preference.leaderboard import Leaderboard, Options, make_leaderboard
from tutelage.evaluation.preference.matches import Matches
from tutelage.evaluation.preference.people import from_people
from tutelage.evaluation.preference.shown import text
from tutelage.evaluation.preference.sources import from_file, from_judge, from_scores
from tutelage.project import Project
from tutelage.types import Split

SHOWN = 5
"""Rows that cannot be used and are named one by one."""


@click.command("leaderboard")
@click.argument("models", nargs=-1, metavar="[MODEL ...]")
@click.option("--by", "judge", metavar="NAME", help="Take the stored verdicts of this judge of task.toml.")
@click.option(
    "--file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Take votes: JSON lines or CSV with input, model_a, model_b, winner (a, b, tie).",
)
@click.option(
    "--from",
    "origin",
    type=click.Choice(["scores", "people"]),
    help="Take the scores of evaluated candidates (the default), or what people said on `tutelage prefer`.",
)
@click.option("--source", metavar="NAME", help="Of FILE, take the rows with this `source` only.")
@split_option
@against_option
@click.option("--anchor", metavar="MODEL", help="The model whose rating is 1000 (default: the mean of all is).")
@click.option("--input", "input_text", metavar="TEXT", help="Also say who is better on this input.")
@click.option(
    "--domains", type=click.IntRange(min=0), help="Groups of like inputs (default: sized from the data; 0: none)."
)
@click.option("--base", metavar="BASE", help="Sentence encoder that compares inputs (default: their words, TF-IDF).")
@out_option
@json_option
@project_options
def command(
    project: Project,
    models: tuple[str, ...],
    judge: str | None,
    file: Path | None,
    origin: str | None,
    source: str | None,
    split: Split,
    against: str | None,
    anchor: str | None,
    input_text: str | None,
    domains: int | None,
    base: str | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Rate models by matches between them: overall, by domain, for one input, with intervals.

    Matches come from the scores of evaluated candidates, or with --by from a judge's stored verdicts, or from people: with
    --from people what they said on the page of `tutelage prefer`, with --file votes; never from two of them at once. Nobody is
    asked. Writes leaderboard.json and the charts of win probabilities and ratings as PNG and SVG.

    \b
    Examples:
      tutelage leaderboard
      tutelage leaderboard small large --by strict
      tutelage leaderboard small large --from people --split dev
      tutelage leaderboard --file votes.jsonl --input "Where is my parcel?"
    """
    if (judge and file) or (origin and (judge or file)):
        raise UsageError("--by, --file and --from name whose word counts, and sources are never mixed. Choose one.")
    if source and not file:
        raise UsageError("--source chooses rows of --file. Name the file as well.")
    if input_text is not None and not input_text.strip():
        raise UsageError("--input is empty. Give the text of an input.")
    if origin == "people":
        matches = from_people(project, split, models)
    else:
        matches = _matches(project, models, judge, file, source, split, against)
    if not matches.matches:
        raise DataError(f"No match is between {', '.join(models)}.")
    encoder = stored_encoder(base, project.path, project.artefacts / "encoders") if base else None
    options = Options(anchor=anchor, encoder=encoder, domains=domains, input=input_text)
    found = make_leaderboard(matches, options)
    files = write_files(_files(found), out or project.reports)
    bad = [{"line": row.line, "reason": row.reason} for row in matches.bad]
    emit({**asdict(found), "bad": bad}, as_json, f"{text(found)}\nHeat map: {files['win-probability.png']}")


def _matches(
    project: Project,
    models: tuple[str, ...],
    judge: str | None,
    file: Path | None,
    source: str | None,
    split: Split,
    against: str | None,
) -> Matches:
    if judge:
        return from_judge(project, judge, split, models)
    if file is None:
        return from_scores(project, split, against, models)  # type: ignore[arg-type]
    found = from_file(file, source)
    for row in found.bad[:SHOWN]:
        click.echo(f"{file}, line {row.line}: {row.reason}. Left out.", err=True)
    if len(found.bad) > SHOWN:
        click.echo(f"... and {len(found.bad) - SHOWN} more rows that cannot be used.", err=True)
    return found.among(models)


def _files(found: Leaderboard) -> dict[str, bytes]:
    charts = ranking_charts(found.overall)
    if one := found.input:
        charts["win-probability-input"] = heat_map([name for name, _ in one.ratings], one.grid)
    files = {
        "leaderboard.json": (json.dumps(plain(found), indent=2, ensure_ascii=False) + "\n").encode(
            errors="backslashreplace"
        )
    }
    for name, chart in charts.items():
        files[f"{name}.svg"] = vl_convert.vegalite_to_svg(chart).encode()
        files[f"{name}.png"] = vl_convert.vegalite_to_png(chart, scale=2)
    return files
