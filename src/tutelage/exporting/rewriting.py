"""The reached part of this package's modules as source under another package's name."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple

from tutelage.exporting.closure import LAZY, OWN, Closure, Module, bound, runs


class Edit(NamedTuple):
    """Lines [first, last], counted from 1, and the text that stands there instead."""

    first: int
    last: int
    text: str = ""


def rewritten(closure: Closure, package: str) -> dict[str, str]:
    """Path inside the wheel -> source, for every module of the closure but the top one, which the caller writes."""
    found = {}
    for name, module in sorted(closure.modules.items()):
        if name != OWN:
            inside = name.removeprefix(f"{OWN}.").replace(".", "/")
            path = f"{package}/{inside}/__init__.py" if module.package else f"{package}/{inside}.py"
            found[path] = _source(module, package)
    return found


def _source(module: Module, package: str) -> str:
    lines = module.source.splitlines()
    for edit in sorted(_edits(module, package, lines), reverse=True):
        lines[edit.first - 1 : edit.last] = edit.text.splitlines()
    text = "\n".join(lines).rstrip() + "\n"
    text = re.sub(LAZY, lambda found: f"{package}{found[0].removeprefix(OWN)}", text)
    ast.parse(text)
    return text


def _edits(module: Module, package: str, lines: list[str]) -> Iterator[Edit]:
    gone = False
    for statement in module.tree.body:
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            yield _import(module, statement, package, lines)
            gone = False
        elif _kept(module, statement, gone):
            gone = False
            if isinstance(statement, ast.ClassDef):
                yield from _class(module, statement, lines)
        else:
            gone = True
            yield _removal(statement, lines)


def _kept(module: Module, statement: ast.stmt, after_gone: bool) -> bool:
    if names := bound(statement):
        return bool(module.reached.intersection(names)) and names != ["__all__"]
    if isinstance(statement, ast.Expr) and not runs(statement):
        return not after_gone  # the text under an attribute goes with it
    return runs(statement)


def _import(module: Module, statement: ast.Import | ast.ImportFrom, package: str, lines: list[str]) -> Edit:
    first, last = statement.lineno, statement.end_lineno or statement.lineno
    future = isinstance(statement, ast.ImportFrom) and statement.module == "__future__"
    kept = [
        alias for alias in statement.names if future or (alias.asname or alias.name.partition(".")[0]) in module.reached
    ]
    if not kept:
        return _removal(statement, lines)
    names = ", ".join(ast.unparse(alias) for alias in kept)
    if isinstance(statement, ast.Import):
        return Edit(first, last, f"import {names}")
    source = re.sub(rf"^{OWN}(?=\.|$)", package, statement.module or "")
    return Edit(first, last, f"from {source} import {names}")


def _class(module: Module, owner: ast.ClassDef, lines: list[str]) -> Iterator[Edit]:
    kept = 0
    edits = []
    for part in owner.body:
        method = isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef))
        if method and (owner.name, part.name) not in module.methods:  # type: ignore[attr-defined]
            edits.append(_removal(part, lines))
        else:
            kept += 1
    yield from edits
    if not kept:
        last = owner.body[-1].end_lineno or owner.lineno
        yield Edit(last + 1, last, "    pass")


def _removal(statement: ast.stmt, lines: list[str]) -> Edit:
    """The lines of a statement, with its decorators, and the comment and blank lines above it."""
    first = min([statement.lineno, *(one.lineno for one in getattr(statement, "decorator_list", []))])
    while first > 1 and lines[first - 2].strip().startswith("#"):
        first -= 1
    while first > 1 and not lines[first - 2].strip():
        first -= 1
    return Edit(first, statement.end_lineno or statement.lineno)
