"""tutelage predict: answers for a file of inputs."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import click

from tutelage.cli.options import project_options
from tutelage.cli.progress import progress
from tutelage.errors import DataError
from tutelage.evaluation.candidates import candidate, close
from tutelage.labels.splitting import canonical_input, example_id
from tutelage.project import Project
from tutelage.types import Input, OneByOne, Prediction, Predictor

CHUNK = 256


@click.command("predict")
@click.argument("name")
@click.argument("file", default="-", metavar="[FILE|-]")
@click.option("--json", "as_json", is_flag=True, help="The output is JSON lines in any case; accepted for uniformity.")
@project_options
def command(project: Project, name: str, file: str, as_json: bool) -> None:
    """Answer inputs (JSON lines with the task's fields) and write one JSON line for each, in order.

    A line that cannot be used gets an answer with an "error", and the rest goes on. Exit code 1 when any failed.

    \b
    Examples:
      tutelage predict tagger stories.jsonl > answers.jsonl
      echo '{"text": "Patty the Polite Parrot met Gus."}' | tutelage predict tagger
    """
    predictor = candidate(project, name).build(project)
    with ExitStack() as stack:
        lines = sys.stdin if file == "-" else stack.enter_context(_opened(Path(file)))
        advance = stack.enter_context(progress(f"Predicting with {name}"))
        failed = 0

        def write(id: str | None, prediction: Prediction) -> None:
            nonlocal failed
            failed += prediction.value is None
            click.echo(json.dumps(answer(id, prediction), ensure_ascii=False))
            advance()

        asyncio.run(_predict(predictor, project.task.fields, lines, write))
    if failed:
        click.echo(f"{failed} inputs got no answer; their lines carry an error.", err=True)
        raise click.exceptions.Exit(1)


def answer(id: str | None, prediction: Prediction) -> dict[str, Any]:
    """The line that `predict` writes, which family `replay` reads."""
    usage = prediction.usage
    return {
        "id": id,
        "value": prediction.value,
        "confidence": prediction.confidence,
        "source": prediction.source,
        "usage": {
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "dollars": usage.dollars,
            "seconds": usage.seconds,
        },
        "error": prediction.error,
    }


def _opened(path: Path) -> IO[str]:
    try:
        return path.open(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from None


async def _predict(predictor: Predictor, fields: Sequence[str], lines: IO[str], write: Any) -> None:
    try:
        for chunk in _chunks(lines, fields):
            async for id, prediction in _answers(predictor, chunk):
                write(id, prediction)
    finally:
        await close(predictor)


async def _answers(
    predictor: Predictor, chunk: Sequence[tuple[Input | None, str]]
) -> AsyncIterator[tuple[str | None, Prediction]]:
    inputs = [input for input, _ in chunk if input is not None]
    if isinstance(predictor, OneByOne):
        tasks = [asyncio.ensure_future(predictor.predict_one(input)) for input in inputs]
    else:
        predictions = await predictor.predict(inputs)
    at = 0
    for input, problem in chunk:
        if input is None:
            yield None, Prediction(None, source=predictor.name, error=problem)
            continue
        yield example_id(input), await tasks[at] if isinstance(predictor, OneByOne) else predictions[at]
        at += 1


def _chunks(lines: IO[str], fields: Sequence[str]) -> Iterator[list[tuple[Input | None, str]]]:
    chunk: list[tuple[Input | None, str]] = []
    try:
        for number, line in enumerate(lines, 1):
            if line.strip():
                chunk.append(read_input(line, fields, number))
            if len(chunk) == CHUNK:
                yield chunk
                chunk = []
    except UnicodeDecodeError as error:
        raise DataError(
            f"The input is not UTF-8 (byte {error.start}: {error.object[error.start]:#04x}). Convert it."
        ) from None
    if chunk:
        yield chunk


def read_input(line: str, fields: Sequence[str], number: int) -> tuple[Input | None, str]:
    """The input on a JSON line, or None and what is wrong with it."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:
        return None, f"line {number}: not JSON ({error})"
    if not isinstance(entry, Mapping):
        return None, f'line {number}: expected an object like {{"{fields[0]}": "..."}}, found {line.strip()[:40]!r}'
    for field in fields:
        if not isinstance(entry.get(field), str) or not entry[field].strip():
            return None, f"line {number}: field {field!r} is missing, empty or not text; fields: {', '.join(fields)}"
    return canonical_input({field: entry[field] for field in fields}), ""
