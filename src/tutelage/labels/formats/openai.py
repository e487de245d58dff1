"""OpenAI's fine-tuning files: a conversation a line, with the prompt that the teacher sees and the label as its answer.

Solved examples of the teacher's prompt are left out: they are what the model is to learn. Split, group, who gave a label and
when, notes, soft labels and examples without a label have no place: a key that OpenAI does not know makes it refuse the file.

Read is the last question and the answer after it; system prompts, earlier turns and tools say nothing of the task. An answer of
weight 0 is none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tutelage.labels.formats.base import ASPECTS, Entry, Format, Found, Given, Unfit
from tutelage.labels.formats.files import opened, read_lines
from tutelage.labels.formats.prompts import Prompt, last_asked, said
from tutelage.labels.readers import BadRow
from tutelage.project import Project


def write(path: Path, entries: Iterator[Entry], project: Project) -> None:
    prompt = Prompt(project)
    with opened(path) as file:
        for entry in entries:
            for label in entry.labels:
                answer = {"role": "assistant", "content": prompt.answer(label.value)}
                line = {"messages": [*prompt.messages(entry.example.input), answer]}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")


def read(path: Path, project: Project, wanted: Sequence[str]) -> Iterator[Found | BadRow]:
    prompt = Prompt(project)
    return read_lines(path, lambda row: Found(row.line, row.fields, *_example(prompt, row.fields)))


def _example(prompt: Prompt, line: dict[str, Any]) -> tuple[Any, list[Given]]:
    messages = line.get("messages")
    if "preferred_output" in line:
        raise Unfit("it holds a preference, not an answer")
    if not isinstance(messages, list):
        old = " (prompt and completion are of a version before chat)" if "prompt" in line else ""
        raise Unfit(f"it has no list 'messages'{old}")
    answers = [at for at, one in enumerate(messages) if isinstance(one, dict) and one.get("role") == "assistant"]
    if not answers or answers[-1] != len(messages) - 1:
        return prompt.input_of(last_asked(messages)), []
    answer = messages[-1]
    input = prompt.input_of(last_asked(messages[:-1]))
    if answer.get("weight") == 0:
        return input, []
    if answer.get("content") is None and (answer.get("tool_calls") or answer.get("function_call")):
        raise Unfit("its answer calls a tool and has no text")
    return input, [Given(prompt.value_of(said(answer)))]


FORMAT = Format(write=write, read=read, lacks=frozenset(ASPECTS), unlabelled=False)
