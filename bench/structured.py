"""Are answers valid? Local models bound to a schema and not bound, on records; and our metrics against published figures.

    python -m bench.structured --work FOLDER             # about 50 minutes on 2 cores
    python -m bench.structured --work FOLDER --n 20

For each model and way to bind the answer: how many of n answers are JSON, fit the JSON Schema that was asked for
(checked by the jsonschema library on the text as the model gave it, no repairs), were cut off at max_tokens, and how right
they are. `invoices` (Apache-2.0) also holds a large model's recorded answers with published scores, which check our
metrics. `ingredients` (MIT): short lines, seven fields. Answers lie in FOLDER; a run that is broken off goes on there.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import numpy as np

from bench.projects import drawn, lines, make_project, write_log
from bench.prompting import FIELDS
from tutelage import settings
from tutelage.errors import AnswerError
from tutelage.evaluation.intervals import estimate
from tutelage.evaluation.metrics import METRICS
from tutelage.models import ChatModel, Message, Params, Reply
from tutelage.models.chat import Limits, Structured
from tutelage.prompting import Prompted, PromptedSettings, build_prompted
from tutelage.tasks import Task
from tutelage.types import Usage, Value

SEED = 11
MODELS = {
    "smollm2-135m": "smollm2-135m/smollm2-135m-instruct.q4_1.gguf",
    "qwen2.5-coder-0.5b": "qwen2.5-coder-0.5b/qwen2.5-coder-0.5b-instruct.q4_k_m.gguf",
}
WAYS: tuple[Structured, ...] = ("schema", "json", "tool", "none")
SHOTS = 3
"""Solved examples in every prompt: without them small models fill fields that should be null with inventions."""

UNBOUND = 10
"""Ways that promise less are tried on fewer inputs: they are there for comparison."""

STRING = '{ type = ["string", "null"], maxLength = 60 }'
LONG = '{ type = ["string", "null"], maxLength = 200 }'
NUMBERED = '{ type = ["string", "null"], maxLength = 20 }'
CURRENCY = '{ type = ["string", "null"], maxLength = 3 }'
DATE = '{ type = ["string", "null"], format = "date" }'
NUMBER = '{ type = ["number", "null"] }'
INVOICE = {
    "vendor_name": STRING,
    "invoice_number": NUMBERED,
    "invoice_date": DATE,
    "due_date": DATE,
    "currency": CURRENCY,
    "total_amount": NUMBER,
    "tax_amount": NUMBER,
    "po_number": NUMBERED,
}
TASKS = {
    "invoices": (
        INVOICE,
        "Read the e-mail about an invoice and give the invoice's fields. Dates are YYYY-MM-DD. What it does not say is null.",
    ),
    "ingredients": (
        dict.fromkeys(FIELDS, STRING) | dict.fromkeys(("name", "preparation", "comment"), LONG),
        "Take a line of a recipe's list of ingredients apart. What it does not say is null.",
    ),
}


class Answered(NamedTuple):
    """What a model gave for one input, as it gave it."""

    text: str
    finish_reason: str
    seconds: float


class Kept:
    """A chat model whose last reply is kept."""

    def __init__(self, model: ChatModel) -> None:
        self.model, self.last = model, Reply("", Usage(), "")

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def limits(self) -> Limits:
        return self.model.limits

    async def complete(self, messages: Sequence[Message], params: Params) -> Reply:
        self.last = await self.model.complete(messages, params)
        return self.last

    async def count_tokens(self, messages: Sequence[Message]) -> int:
        return await self.model.count_tokens(messages)

    async def close(self) -> None:
        await self.model.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=200, help="inputs for each model")
    parser.add_argument("--work", type=Path, required=True, help="folder for answers; used again, it goes on")
    parser.add_argument("--models", nargs="*", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--datasets", nargs="*", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--ways", nargs="*", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--threads", type=int, help="of llama.cpp (default: all cores; 1 on a busy machine)")
    chosen = parser.parse_args()
    body = [teacher_check(chosen.work)] if "invoices" in chosen.datasets else []
    for dataset in chosen.datasets:
        head = (
            "| model | bound by | n | JSON | fit the schema | cut off | field F1 (95 %) | s an answer |\n"
            + "|---" * 8
            + "|"
        )
        body += [f"\n{dataset} test:\n", head]
        for model in chosen.models:
            for way in chosen.ways:
                n = chosen.n if way == "schema" else min(chosen.n, UNBOUND)
                body.append(asyncio.run(one_line(dataset, model, way, n, chosen)))
    write_log(f"structured: are answers valid? {', '.join(chosen.models)}", "\n".join(body))
    return 0


def task_toml(dataset: str) -> str:
    fields, instructions = TASKS[dataset]
    listed = "".join(f"{name} = {kind}\n" for name, kind in fields.items())
    head = f'name = "{dataset}"\noutput = "record"\ninstructions = "{instructions}"\n'
    return f'{head}[schema]\ntype = "object"\n[schema.properties]\n{listed}'


def teacher_check(work: Path) -> str:
    """The recorded teacher of `invoices` under our metrics; published: field F1 99.5, document exact match 96.0."""
    examples = lines("invoices", "test")
    task = make_project(work / "check", task_toml("invoices"), "fields", {"test": examples[:1]}).task
    gold = [task.canonical(one["fields"]) for one in examples]
    found = [task.canonical(one["teacher"]["fields"]) for one in examples]
    figures = []
    for name in task.metrics:
        value = float(METRICS.load(name)(task, gold, found)(np.arange(len(gold))[None, :])[0])
        figures.append(f"{name} {100 * value:.2f}")
    published = "published: field F1 99.5, exact match 96.0"
    return f"- recorded teacher, invoices test, n = {len(gold)}: {', '.join(figures)} ({published})"


async def one_line(dataset: str, model: str, way: Structured, n: int, chosen: argparse.Namespace) -> str:
    work: Path = chosen.work
    examples = drawn(lines(dataset, "test"), n, SEED)
    path = settings.weights_folder().resolve() / MODELS[model]
    shown = drawn(lines(dataset, "train"), SHOTS, SEED)
    project = make_project(work / dataset, task_toml(dataset), "fields", {"train": shown, "test": examples})
    given = PromptedSettings(
        str(path), provider="gguf", structured=way, max_tokens=320, repairs=0, threads=chosen.threads, shots=SHOTS
    )
    file = work / f"{dataset}-{model}-{way}.jsonl"
    answers = await answered(build_prompted(model, given, project), examples, file, stored(file))
    task = project.task
    parsed = [value_of(task, one.text) for one in answers]
    gold = [task.canonical(one["fields"]) for one in examples]
    score = estimate(METRICS.load("field_f1")(task, gold, parsed), len(gold))
    seconds = sorted(one.seconds for one in answers)[len(answers) // 2]
    checks = [sum(check) for check in zip(*(validity(task, one) for one in answers), strict=True)]
    return (
        f"| {model} | {way} | {len(answers)} | {checks[0]} | {checks[1]} | {checks[2]} | "
        f"{score.value:.3f} ({score.low:.3f} to {score.high:.3f}) | {seconds:.2f} |"
    )


def stored(file: Path) -> list[Answered]:
    return [Answered(*json.loads(line)) for line in file.read_text("utf-8").splitlines()] if file.exists() else []


async def answered(
    predictor: Prompted, examples: Sequence[dict[str, Any]], file: Path, found: list[Answered]
) -> list[Answered]:
    """The answers `found` earlier, and after them the model's to the other examples, kept in `file`."""
    kept = Kept(predictor.model)
    asking = Prompted(kept, predictor.task, predictor.settings, selector=predictor.selector)
    last = start = time.monotonic()
    with file.open("a", encoding="utf-8") as out:
        for at, example in enumerate(examples[len(found) :]):
            prediction = await asking.predict_one({"text": example["text"]})
            found.append(Answered(kept.last.text, kept.last.finish_reason, prediction.usage.seconds))
            out.write(json.dumps(found[-1], ensure_ascii=False) + "\n")
            out.flush()
            if time.monotonic() - last > 20:
                last = time.monotonic()
                left = (last - start) / (at + 1) * (len(examples) - len(found))
                print(f"{file.stem}: {len(found)} of {len(examples)}, {left:.0f} s left", file=sys.stderr, flush=True)
    await kept.close()
    return found[: len(examples)]


def validity(task: Task, answer: Answered) -> tuple[bool, bool, bool]:
    """Whether the text is JSON, whether it fits the schema asked for, whether it was cut off."""
    try:
        value = json.loads(answer.text)
    except ValueError:
        return False, False, answer.finish_reason == "length"
    fits = jsonschema.Draft202012Validator(task.schema()).is_valid(value)
    return True, fits, answer.finish_reason == "length"


def value_of(task: Task, text: str) -> Value | None:
    try:
        return task.parse(text)
    except AnswerError:
        return None


if __name__ == "__main__":
    sys.exit(main())
