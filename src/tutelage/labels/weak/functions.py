"""Labelling functions: keyword lists and regular expressions of task.toml, Python functions of a file that its user names.

Each says of an input a label, for several of N a list of them, or nothing. The file is the user's own code: it is run as it
stands, from the project's folder and from nowhere else. A function that fails on an input says nothing about it; how
often that happened is counted and shown.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

from pydantic import ConfigDict

from tutelage.errors import TaskFileError, UsageError
from tutelage.project import Project
from tutelage.tasks import Task
from tutelage.types import Input

Said: TypeAlias = str | frozenset[str] | None
"""A label; of several of N, where all of them are known, the set of those that apply; or nothing."""


@dataclass(frozen=True)
class Rule:
    """Says `label` where one of `words` stands in the text as a whole (case does not matter), or where the regular expression
    `pattern` is found; of all fields, or of one."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    label: str
    words: tuple[str, ...] = ()
    pattern: str | None = None
    field: str | None = None
    name: str | None = None


@dataclass
class Function:
    """`says` answers an input; `labels` are those that it can give, None where that is not known before it is asked. `errors`
    counts the inputs on which it failed, `error` is what it said first."""

    name: str
    says: Callable[[Input], object]
    labels: tuple[str, ...] | None = None
    errors: int = 0
    error: str | None = None

    def vote(self, task: Task, given: Input) -> Said:
        """What it says of an input; failing, it says nothing."""
        try:
            said = self.says(given)
        except Exception as error:  # a user's own function may raise anything, and one input is not worth the run
            self._failed(f"{type(error).__name__}: {error}")
            return None
        if said is None:
            return None
        known: Sequence[str] = getattr(task, "labels", ())
        listed = [said] if isinstance(said, str) else said
        if not isinstance(listed, (list, tuple, set, frozenset)) or (task.output == "label" and len(listed) != 1):
            self._failed(f"it said {said!r}, which is no answer of this task")
            return None
        for one in listed:
            if one not in known:
                self._failed(f"it said {one!r}, which is no label of this task")
                return None
        return (
            said if isinstance(said, str) else str(next(iter(listed))) if task.output == "label" else frozenset(listed)
        )

    def _failed(self, what: str) -> None:
        self.errors += 1
        self.error = self.error or " ".join(what.split())[:200]


def rule_functions(task: Task, rules: Sequence[Rule], where: str) -> list[Function]:
    """The rules as functions. Raises TaskFileError for a rule that cannot be."""
    found: list[Function] = []
    for number, rule in enumerate(rules, 1):
        place = f"{where}: rule {number}"
        if rule.label not in getattr(task, "labels", ()):
            raise TaskFileError(f"{place}: {rule.label!r} is not a label of {task.name!r}. Labels: {_some(task)}.")
        if bool(rule.words) == (rule.pattern is not None) or not all(word.strip() for word in rule.words):
            raise TaskFileError(f"{place} ({rule.label!r}) needs words or a pattern, and not both. Set one of them.")
        if rule.field is not None and rule.field not in task.fields:
            raise TaskFileError(
                f"{place}: {rule.field!r} is not a field of the input. Fields: {', '.join(task.fields)}."
            )
        name = rule.name or _named(rule, [one.name for one in found])
        if name in [one.name for one in found]:
            raise TaskFileError(f"{place}: there are two rules of the name {name!r}. Name them differently.")
        found.append(Function(name, _says(task, rule, place), (rule.label,)))
    return found


def python_functions(project: Project, file: str, where: str) -> list[Function]:
    """The public functions that the file defines, in its order, each called with the input's fields by name. Raises
    TaskFileError for a file that is not in the project's folder, UsageError for one that cannot be run."""
    path = source_file(project, file, where)
    name = f"tutelage_functions_{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise TaskFileError(f"{where}: functions = {file!r} is no Python file. Name one that ends in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickling look there
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # a user's own file may raise anything
        sys.modules.pop(name, None)
        line = next(
            (f", line {at.tb_lineno}" for at in _frames(error) if at.tb_frame.f_code.co_filename == str(path)), ""
        )
        told = " ".join(f"{type(error).__name__}: {error}".split())
        raise UsageError(f"{where}: {file}{line} cannot be run: {told}. Mend it.") from None
    own = [one for one in vars(module).values() if inspect.isfunction(one) and one.__module__ == name]
    found = [Function(one.__name__, _copied(one)) for one in own if not one.__name__.startswith("_")]
    if not found:
        raise UsageError(f"{where}: {file} defines no function. Write e.g.: def greeting(input): ...")
    return found


def _copied(function: Callable[[dict[str, str]], object]) -> Callable[[Input], object]:
    """The function on a copy, which it may change."""
    return lambda given: function(dict(given))


def source_file(project: Project, file: str, where: str) -> Path:
    """The file's path. Raises TaskFileError where it is not there, or not in the project's folder."""
    path, folder = project.path(file).resolve(), project.folder.resolve()
    if not path.is_relative_to(folder):
        raise TaskFileError(f"{where}: functions = {file!r} is outside the project's folder. Put the file into it.")
    if not path.is_file():
        raise TaskFileError(f"{where}: functions = {file!r}: there is no such file in the project's folder.")
    return path


def _says(task: Task, rule: Rule, place: str) -> Callable[[Input], str | None]:
    words = "|".join(r"\s+".join(map(re.escape, word.split())) for word in rule.words)
    try:
        pattern = re.compile(rf"(?<!\w)(?:{words})(?!\w)" if words else str(rule.pattern), re.IGNORECASE)
    except re.error as error:
        raise TaskFileError(f"{place}: pattern = {rule.pattern!r} is no regular expression: {error}.") from None

    def says(given: Input) -> str | None:
        text = given[rule.field] if rule.field else task.input_text(given)
        return rule.label if pattern.search(text) else None

    return says


def _named(rule: Rule, taken: Sequence[str]) -> str:
    """The label, numbered from the second of its rules on."""
    count = 1
    while (name := rule.label if count == 1 else f"{rule.label} {count}") in taken:
        count += 1
    return name


def _some(task: Task) -> str:
    labels = list(getattr(task, "labels", ()))
    return ", ".join(labels[:20]) + (", ..." if len(labels) > 20 else "")


def _frames(error: Exception) -> list[Any]:
    """Where the error passed through, the innermost first."""
    found, at = [], error.__traceback__
    while at is not None:
        found.append(at)
        at = at.tb_next
    return found[::-1]
