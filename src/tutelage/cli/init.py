"""tutelage init: a folder with a task.toml to fill in."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tutelage.cli.options import emit, json_option
from tutelage.errors import DataError, StoreError, UsageError
from tutelage.registry import load

if TYPE_CHECKING:
    from tutelage.tasks.file import TaskFile

IGNORED = "tutelage.db*\nartefacts/\nreports/\nrejects/\n"

HEAD = """\
# What the task is. How it is done is said by flags; see tutelage --help.
name = {name}
output = {output}{output_comment}
{kind}fields = {fields}
# What the teacher is told. Say what counts and what does not, as to a new colleague.
instructions = \"\"\"
{instructions}
\"\"\"
# What candidates are ranked by. Known: {metrics}.
metric = {metric}
# The candidate that gives labels: tutelage label
teacher = "teacher"
{schema}
# Candidates: the systems that are compared. Each has a family; its other settings are optional.
[candidates.teacher]
family = "prompted"                         # a large language model, asked
model = "gpt-5-mini"
# base_url = "http://127.0.0.1:8080/v1"     # any OpenAI-compatible endpoint (default: OpenAI)
# api_key_env = "OPENAI_API_KEY"            # the environment variable that holds the key
"""

STUDENTS = {
    "label": """
[candidates.linear]
family = "linear"                           # words' weights + logistic regression: no GPU, trains in seconds

# [candidates.encoder]                      # a fine-tuned transformer; needs pip install 'tutelage[train]'
# family = "encoder"
# base = "sentence-transformers/all-MiniLM-L6-v2"   # a Hugging Face name or a folder
""",
    "grounded": """
# [candidates.tagger]                       # a fine-tuned transformer; needs pip install 'tutelage[train]'
# family = "tagger"
# base = "sentence-transformers/all-MiniLM-L6-v2"   # a Hugging Face name or a folder

# [candidates.ner]                          # names off the shelf, nothing trained; needs pip install 'tutelage[ner]'
# family = "pretrained-ner"
# model = "en_core_web_sm"
""",
    "labels": """
# No family of students learns sets of labels yet: compare language models, prompts and shots.
""",
    "record": """
# No family of students learns records yet: compare language models, prompts and shots.
""",
    "text": """
# No family of students writes texts yet: compare language models, prompts and shots.
""",
    "strings": """
# No family of students learns lists of strings that are not in the text. If yours are, add `grounded = true` above.
""",
}

INSTRUCTIONS = {
    "label": "Say which label fits the text.",
    "strings": "List the {} in the text.",
    "text": "Write the {} of the text.",
    "labels": "Say which labels fit the text: several, one or none.",
    "record": "Fill in the fields from the text. Use null where the text does not say.",
}

SCHEMA = """
# The fields of an answer, as a JSON Schema (in a file of its own: schema = "schema.json", above the first [ of this file).
# Types: string (also with format = "date"), number, integer, boolean, enum, and lists of those. Descriptions are told to
# the model. A field that is not required may be null.
[schema]
required = ["title"]

[schema.properties]
title = {type = "string", description = "as it is written in the text"}
date = {type = "string", format = "date"}
amount = {type = "number", minimum = 0}
kind = {enum = ["order", "complaint", "other"]}
urgent = {type = "boolean"}
topics = {type = "array", items = {type = "string"}, maxItems = 10}

# When two values are the same: numbers by value, dates by day, text without regard to case and spacing, unless said here.
# Known: exact, case, words, number, date, date-dmy, date-mdy.
# [normalisers]
# title = "words"                           # punctuation does not matter either
"""

LIMITS = """\
# max_characters = 80                       # limits: the model is told, and the report counts who breaks them
# language = "en"
# forbidden_openings = ["Here is", "Title:"]
# encoder = "sentence-transformers/all-MiniLM-L6-v2"   # for BERTScore; needs pip install 'tutelage[bertscore]'
# encoder_layers = 6
"""

TAIL = """
# What the teacher's tokens cost, in dollars per million. Without prices, dollars are not shown and budgets cannot hold.
# [prices."gpt-5-mini"]
# input = 0.25
# cached_input = 0.025
# output = 2.00
# date = "2025-08-07"                       # check the provider's price list, and write the day you did
# source = "https://openai.com/api/pricing"

# What the machine costs that answers locally. `occupancy` is the share of the time in which it is busy.
# [hardware]
# name = "my server"
# dollars_per_hour = 0.08
# occupancy = 0.5
"""


@click.command("init")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--output",
    required=True,
    type=click.Choice(["label", "labels", "strings", "record", "text"]),
    help="What an answer is: one label of a set, several labels, a list of strings, a record of fields, or a text.",
)
@click.option("--grounded", is_flag=True, help="With strings: every string occurs in the text.")
@click.option("--field", "fields", multiple=True, metavar="NAME", help="Input field (default: text). Repeat for more.")
@click.option("--labels", metavar="A,B,C|@FILE", help="With label, labels: the labels, or a file with one a line.")
@json_option
def command(
    folder: Path, output: str, grounded: bool, fields: tuple[str, ...], labels: str | None, as_json: bool
) -> None:
    """Make a project in the folder DIR: a commented task.toml to fill in. An existing one is never overwritten.

    \b
    Examples:
      tutelage init characters --output strings --grounded
      tutelage init invoices --output record
      tutelage init title --output text
      tutelage init topics --output label --labels billing,delivery,other
      tutelage init intents --output label --labels @labels.txt --field question --field answer
    """
    if grounded and output != "strings":
        raise UsageError("--grounded goes with --output strings only. Remove it.")
    if labels is not None and output not in ("label", "labels"):
        raise UsageError("--labels goes with --output label or labels only. Remove it.")
    for name in fields:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", name):
            raise UsageError(f"{name!r} cannot be a field: use letters, digits, - and _, beginning with a letter.")
    if twice := sorted({name for name in fields if fields.count(name) > 1}):
        raise UsageError(f"The field {twice[0]!r} is named twice. Remove one.")
    known = None if labels is None else _labels(labels)
    text = task_text(_name(folder), output, fields or ("text",), known, grounded)
    validated: Callable[[type, dict[str, Any], str], TaskFile] = load("tutelage.tasks.file:validated")
    file = validated(load("tutelage.tasks.file:TaskFile"), tomllib.loads(text), "task.toml")
    if known is not None:
        file.task()  # two equal labels, an empty one, ... are found before anything is written
    path = _write(folder, text)
    steps = _steps(folder, labels is None, output)
    emit({"folder": folder, "task_file": path, "name": file.name, "output": output}, as_json, f"Made {path}.\n{steps}")


def task_text(name: str, output: str, fields: Sequence[str], labels: Sequence[str] | None, grounded: bool) -> str:
    """The text of a new task.toml."""
    listed = name.replace("-", " ").replace("_", " ")
    kind, instructions = "", INSTRUCTIONS[output].format(listed)
    if output in ("label", "labels"):
        least = "two" if output == "label" else "one"
        kind = f"labels = {_toml(labels or [])}" + ("" if labels else f"   # fill in at least {least}") + "\n"
    elif output == "text":
        kind = LIMITS
    elif grounded:
        kind = "grounded = true                             # every string occurs in the text\n"
    metrics = {"label": ("accuracy", "macro_f1"), "strings": ("f1", "precision", "recall", "exact_match", "alias_f1")}
    metrics["text"] = ("rougeL", "rouge1", "rouge2", "bleu", "sentence_bleu", "chrf", "exact_match", "within_limits")
    metrics["labels"] = ("f1", "micro_f1", "macro_f1", "exact_match", "precision", "recall")
    metrics["record"] = ("field_f1", "field_precision", "field_recall", "micro_field_f1", "exact_match", "token_f1")
    comment = {"label": "one label of a set", "strings": "a list of strings", "text": "a text"}
    comment |= {"labels": "several labels of a set, or none", "record": "a value for each field of [schema]"}
    head = HEAD.format(
        name=_toml(name),
        output=_toml(output),
        output_comment=" " * (33 - len(output)) + f"# an answer is {comment[output]}",
        kind=kind,
        fields=_toml(list(fields)),
        instructions=instructions,
        metrics=", ".join(metrics[output]),
        metric=_toml(metrics[output][0]),
        schema=SCHEMA if output == "record" else "",
    )
    return head + STUDENTS["grounded" if grounded else output] + TAIL


def _toml(value: str | Sequence[str]) -> str:
    """A string or a list of strings in TOML; its strings are JSON's, but for one control character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _name(folder: Path) -> str:
    """A task's name from its folder's: letters, digits, - and _, beginning with a letter."""
    name = re.sub(r"[^A-Za-z0-9_]+", "-", folder.resolve().name).strip("-")
    return name if name[:1].isalpha() else f"task-{name}".rstrip("-")


def _labels(text: str) -> list[str]:
    parts = text.split(",")
    if text.startswith("@"):
        path = Path(text[1:]).expanduser()
        try:
            parts = path.read_text(encoding="utf-8-sig").splitlines()
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}.") from None
        except UnicodeDecodeError as error:
            raise DataError(f"{path} is not UTF-8 (byte {error.start}). Save it as UTF-8.") from None
    return [part.strip() for part in parts if part.strip()]


def _write(folder: Path, text: str) -> Path:
    path = folder / "task.toml"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
        if not (ignored := folder / ".gitignore").exists():
            ignored.write_text(IGNORED, encoding="utf-8")
    except FileExistsError:
        exists = "exists already and is left as it is" if path.exists() else "cannot be made: a file is in the way"
        raise UsageError(f"{path} {exists}. Edit it, or name another folder.") from None
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}. Choose a folder that can.") from None
    return path


def _steps(folder: Path, without_labels: bool, output: str) -> str:
    first = "the instructions"
    if output == "record" or (without_labels and output in ("label", "labels")):
        first = f"the {'fields' if output == 'record' else 'labels'} and {first}"
    column = "fields" if output == "record" else output
    steps = [
        f"write {first} into {folder / 'task.toml'}",
        f"cd {folder}",
        f"tutelage add FILE                  examples; --label {column} when a column has the answers",
        "export OPENAI_API_KEY=...          the teacher's key, then: tutelage label",
        "tutelage run                       train, evaluate, report",
    ]
    return "\n".join(["Next:", *(f"  {number}. {step}" for number, step in enumerate(steps, 1))])
