"""tutelage predict: answers for a file of inputs."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import click

from tutelage.answering.lines import Given, answer, chunks, opened
from tutelage.cli.options import project_options
from tutelage.cli.progress import progress
from tutelage.evaluation.candidates import candidate, close
from tutelage.project import Project
from tutelage.tasks.identity import example_id
from tutelage.types import OneByOne, Prediction, Predictor


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
        lines = sys.stdin if file == "-" else stack.enter_context(opened(Path(file)))
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


async def _predict(predictor: Predictor, fields: Sequence[str], lines: IO[str], write: Any) -> None:
    try:
        for chunk in chunks(lines, fields):
            async for id, prediction in _answers(predictor, chunk):
                write(id, prediction)
    finally:
        await close(predictor)


async def _answers(predictor: Predictor, chunk: Sequence[Given]) -> AsyncIterator[tuple[str | None, Prediction]]:
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
