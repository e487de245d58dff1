"""tutelage prompts revise: what people found wrong leads to new instructions."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from tutelage.cli.options import emit, json_option, project_options
from tutelage.errors import StoreError, UsageError
from tutelage.evaluation.candidates import teacher_name
from tutelage.project import Project
from tutelage.review.revising import Revision, found_mistakes
from tutelage.review.revising import revise as revised
from tutelage.review.tags import Mistake, counts
from tutelage.types import Value, canonical_json

WIDTH = 100
"""Characters of a text or an answer that are shown."""


@click.command("revise")
@click.argument("name", metavar="[CANDIDATE]", required=False)
@click.option("--by", metavar="CANDIDATE", help="Who writes: another candidate of family prompted (default: itself).")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="File for the text (default: instructions-NAME.txt)."
)
@click.option("--force", is_flag=True, help="Write over the file.")
@click.option(
    "--show", "shown", type=click.IntRange(min=0), default=3, show_default=True, help="Mistakes to print of a tag."
)
@click.option("--dry-run", is_flag=True, help="Show the mistakes; ask nobody.")
@json_option
@project_options
def revise(
    project: Project,
    name: str | None,
    by: str | None,
    out: Path | None,
    force: bool,
    shown: int,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Show what people found wrong with a prompt, and let a model write better instructions from it.

    Takes the mistakes that people corrected, rejected or tagged on train, of the candidate's present version (the teacher's
    unless named). The new instructions go into a file, with what changed on the screen; task.toml is never changed. One call.

    \b
    Examples:
      tutelage prompts revise --dry-run
      tutelage prompts revise strict --by large --out better.txt
    """
    chosen = name or teacher_name(project)
    source, wrong = found_mistakes(project, chosen)
    told = "\n".join(_mistakes(source, wrong, shown))
    facts: dict[str, object] = {"candidate": chosen, "source": source, "mistakes": [_facts(one) for one in wrong]}
    facts["tags"] = counts(wrong)[source]
    if dry_run:
        emit(facts, as_json, told)
        return
    path = out or project.folder / f"instructions-{chosen}.txt"
    if path.exists() and not force:
        raise UsageError(f"{path} exists already. Name another file by --out, or write over it by --force.")
    found = asyncio.run(revised(project, chosen, by, (source, wrong)))
    try:
        path.write_text(found.after + "\n", encoding="utf-8")
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror or error}.") from None
    facts |= {"by": found.by, "shown": found.shown, "instructions": found.after, "diff": found.diff, "path": str(path)}
    emit(facts | {"dollars": found.usage.dollars}, as_json, "\n".join([told, "", *_written(found, path)]))


def _mistakes(source: str, wrong: Sequence[Mistake], shown: int) -> Iterator[str]:
    yield f"{source.removeprefix('teacher:')}: {len(wrong)} mistakes found by people on train"
    for tag, count in counts(wrong)[source].items():
        yield f"{tag}: {count}"
        some = [one for one in wrong if tag in one.tags or (not one.tags and tag not in _tags(wrong))]
        for one in some[:shown]:
            yield f"  {one.example.id[:8]}  {_short(one.text)}"
            right = "(not said)" if one.correction is None else _short(one.correction)
            yield f"    said {_short(one.suggestion)}, right {right}" + (f"  # {_short(one.note)}" if one.note else "")


def _tags(wrong: Sequence[Mistake]) -> set[str]:
    return {tag for one in wrong for tag in one.tags}


def _written(found: Revision, path: Path) -> Iterator[str]:
    cost = "price unknown" if found.usage.dollars is None else f"${found.usage.dollars:.4f}"
    yield f"{found.by} wrote new instructions from {len(found.shown)} of {found.found} mistakes, {cost}: {path}"
    yield from found.diff or ["(they are the same)"]
    yield "Read them. Then put them into task.toml as `instructions`, and see what they are worth:"
    yield f"  tutelage prompts test {found.source.rpartition('@')[2]} {found.candidate} --split dev"
    yield "  tutelage label --stale --dry-run"


def _facts(one: Mistake) -> dict[str, object]:
    return {
        "id": one.example.id,
        "text": one.text,
        "suggestion": one.suggestion,
        "correction": one.correction,
        "tags": list(one.tags),
        "note": one.note,
        "annotator": one.annotator,
    }


def _short(value: Value | None) -> str:
    text = " ".join(value.split()) if isinstance(value, str) else canonical_json(value)
    return text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"
