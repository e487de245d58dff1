"""tutelage export: a trained student leaves."""

from __future__ import annotations

from pathlib import Path

import click

from tutelage.cli.options import emit, json_option, project_options
from tutelage.exporting import TARGETS
from tutelage.exporting.leaving import export, leaving, write
from tutelage.project import Project


@click.command("export")
@click.argument("name", metavar="CANDIDATE")
@click.option("--to", "target", required=True, metavar="|".join(TARGETS.rows()), help="The form in which it leaves.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Where to (default: exports/CANDIDATE-TARGET in the project).",
)
@click.option("--force", is_flag=True, help="Overwrite files that are there with other content.")
@click.option("--licence", default="", metavar="NAME", help="Licence of the student, for its card, e.g. apache-2.0.")
@click.option("--data-licence", default="", metavar="NAME", help="Licence of the training data, for its card.")
@json_option
@project_options
def command(
    project: Project,
    name: str,
    target: str,
    out: Path | None,
    force: bool,
    licence: str,
    data_licence: str,
    as_json: bool,
) -> None:
    """Write a trained student as files that run without tutelage and torch.

    \b
    wheel        pip installs it anywhere; a command named after the task has `predict`, `serve` and `card`
    onnx         the bare model, its tokenizer and names, with twenty lines of numpy that use it
    safetensors  weights, of families that keep them
    gguf         a causal student's file, with commands for llama.cpp, Ollama and vLLM
    hub-folder   a folder ready for `hf upload`; nothing is uploaded
    image        a folder with a Dockerfile and the wheel

    The newest training is taken, with its metrics from stored evaluations. The same student gives the same bytes; files
    that are there with the same content are left alone, with other content they are kept unless --force is given.

    \b
    Examples:
      tutelage export tagger --to wheel
      tutelage export tagger --to hub-folder --out ~/tagger --licence apache-2.0
      tutelage export linear --to image --force
    """
    student = leaving(project, name, licence, data_licence)
    folder = out or project.folder / "exports" / f"{name}-{target}"
    done = write(export(student, target, TARGETS), folder, force)
    result = {"candidate": name, "to": target, "folder": folder, "written": done.paths, "unchanged": done.unchanged}
    lines = [f"{path} ({_size(path)})" for path in done.paths]
    if done.unchanged:
        lines.append(f"{done.unchanged} {'file' if done.unchanged == 1 else 'files'} in {folder} unchanged")
    emit(result, as_json, "\n".join(lines))


def _size(path: Path) -> str:
    size = path.stat().st_size
    return f"{size / 1e6:,.1f} MB" if size >= 1e6 else f"{size / 1e3:,.1f} kB"
