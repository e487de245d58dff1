"""What of this package a student needs to answer, found from its source without running it.

From a few roots (the answerer's class, the task's, the command) every definition is followed that reached code names:
a module's own by name, imported ones through their import, methods by any mention of their name anywhere in reached
code, `registry.load("tutelage.module:attribute")` and the rows of tables by their text. So nothing is missed that is
called by name, and training code, with all that it imports, stays behind. Packages of others become requirements.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TypeAlias

from tutelage.errors import UsageError

OWN = "tutelage"
LAZY = re.compile(rf"({OWN}(?:\.\w+)+):(\w+)")
"""An attribute that is loaded when it is used, as `registry.load` and the tables' rows write it."""
_FOREIGN = re.compile(r"([A-Za-z_]\w*)(?:\.\w+)*:\w+")
_BY_NAME = ("getattr", "hasattr", "setattr", "attrgetter", "methodcaller")
_CLOSED = ("ABC", "Protocol", "NamedTuple", "Generic", "Exception", "object", "str", "int", "dict")
"""Bases of others that call no method of their subclasses by a name that our own code does not mention."""

Definition: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
Place: TypeAlias = tuple[str, str]
"""A module, and a name in it."""


@dataclass
class Module:
    """A module's source, and which of its names and methods were reached."""

    name: str
    path: Path
    reached: set[str] = field(default_factory=set)
    methods: set[tuple[str, str]] = field(default_factory=set)

    @cached_property
    def source(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.source)

    @property
    def package(self) -> bool:
        return self.path.name == "__init__.py"

    @cached_property
    def bindings(self) -> dict[str, list[ast.stmt]]:
        """The statements at the module's top that bind each name."""
        found: dict[str, list[ast.stmt]] = {}
        for statement in self.tree.body:
            for name in bound(statement):
                found.setdefault(name, []).append(statement)
        return found

    @cached_property
    def foreign(self) -> set[str]:
        """Names that stand for packages of others, and for nothing else anywhere in the module."""
        found = set()
        for statement in self.tree.body:
            own = isinstance(statement, ast.ImportFrom) and (statement.module or "").partition(".")[0] == OWN
            if isinstance(statement, (ast.Import, ast.ImportFrom)) and not own:
                found.update(bound(statement))
        for node in ast.walk(self.tree):
            if isinstance(node, ast.arg):
                found.discard(node.arg)
            elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
                found.discard(node.id)
        return found


def bound(statement: ast.stmt) -> list[str]:
    """The names that a top-level statement binds."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [statement.name]
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return [alias.asname or alias.name.partition(".")[0] for alias in statement.names]
    if isinstance(statement, (ast.Assign, ast.AnnAssign)):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        return [node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)]
    return []


class Closure:
    """All that is reached from `roots`. `absent` are settings that the task does not use: what `registry.load` says it
    needs for one of them is left behind. Raises UsageError for a root that is not part of this package."""

    def __init__(self, roots: Iterable[Place], absent: Collection[str] = ()) -> None:
        self.modules: dict[str, Module] = {}
        self.packages: set[str] = set()
        self._absent = absent
        self._attributes: set[str] = set()
        self._classes: list[tuple[Module, ast.ClassDef]] = []
        self._todo: list[Place] = []
        for module, name in roots:
            if not module.startswith(f"{OWN}."):
                raise UsageError(f"{module}:{name} is not part of tutelage, so a wheel cannot be made of it.")
            self._todo.append((module, name))
        self._follow()

    def _follow(self) -> None:
        while True:
            while self._todo:
                self._reach(*self._todo.pop())
            if not (fresh := list(self._fresh_methods())):
                return
            for module, owner, method in fresh:
                module.methods.add((owner.name, method.name))
                self._visit(module, method)

    def module(self, name: str) -> Module | None:
        """The module `name` of this package, with those that hold it; None where there is none."""
        if name not in self.modules:
            if (path := _source(name)) is None:
                return None
            self.modules[name] = Module(name, path)
            if "." in (parent := name.rpartition(".")[0]):
                self.module(parent)
            for statement in self.modules[name].tree.body:
                if runs(statement):
                    self._visit(self.modules[name], statement)
        return self.modules[name]

    def _reach(self, name: str, attribute: str) -> None:
        module = self.module(name)
        if module is None or attribute in module.reached or attribute not in module.bindings:
            if module is not None and attribute not in module.bindings:
                self.module(f"{name}.{attribute}")
            return
        module.reached.add(attribute)
        for statement in module.bindings[attribute]:
            if isinstance(statement, (ast.Import, ast.ImportFrom)):
                self._import(module, statement, attribute)
            elif isinstance(statement, ast.ClassDef):
                self._classes.append((module, statement))
                for part in (*statement.decorator_list, *statement.bases, *statement.keywords, *statement.body):
                    if not isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef)):
                        self._visit(module, part)
            else:
                self._visit(module, statement)

    def _import(self, module: Module, statement: ast.Import | ast.ImportFrom, name: str) -> None:
        for alias in statement.names:
            if (alias.asname or alias.name.partition(".")[0]) != name:
                continue
            if isinstance(statement, ast.Import):
                self._need(alias.name)
            elif (statement.module or "").partition(".")[0] == OWN:
                self._todo.append((str(statement.module), alias.name))
            else:
                self._need(statement.module or "")

    def _need(self, name: str) -> None:
        top = name.partition(".")[0]
        if top not in sys.stdlib_module_names and top != OWN:
            self.packages.add(top)

    def _visit(self, module: Module, node: ast.AST) -> None:
        for part in self._parts(node):
            if isinstance(part, ast.Name):
                self._todo.append((module.name, part.id))
            elif isinstance(part, ast.Attribute):
                named = part.value.id if isinstance(part.value, ast.Name) else ""
                if target := self._alias(module, named):
                    self._todo.append((target, part.attr))
                elif named not in module.foreign:
                    self._attributes.add(part.attr)
            elif isinstance(part, ast.Call):
                self._call(part)
            elif found := LAZY.fullmatch(str(getattr(part, "value", ""))):
                self._todo.append((found[1], found[2]))

    def _parts(self, node: ast.AST) -> Iterator[ast.AST]:
        """`node` and all in it but the loading of what only an absent setting needs."""
        if isinstance(node, ast.Call) and _called(node) == "load" and len(node.args) == 2:
            needed_by = node.args[1]
            if isinstance(needed_by, ast.Constant) and needed_by.value in self._absent:
                yield from self._parts(node.func)
                return
        yield node
        for child in ast.iter_child_nodes(node):
            yield from self._parts(child)

    def _call(self, call: ast.Call) -> None:
        """Attributes and packages that are named by a text."""
        texts = [part.value for part in call.args if isinstance(part, ast.Constant) and isinstance(part.value, str)]
        if _called(call) in _BY_NAME:
            self._attributes.update(texts)
        elif _called(call) == "load" and texts and (found := _FOREIGN.fullmatch(texts[0])):
            self._need(found[1])

    def _alias(self, module: Module, name: str) -> str | None:
        """The module of this package that `name` stands for in `module`."""
        for statement in module.bindings.get(name, []):
            if isinstance(statement, ast.ImportFrom) and (statement.module or "").partition(".")[0] == OWN:
                for alias in statement.names:
                    full = f"{statement.module}.{alias.name}"
                    if (alias.asname or alias.name) == name and _source(full):
                        return full
        return None

    def _fresh_methods(self) -> Iterator[tuple[Module, ast.ClassDef, Definition]]:
        for module, owner in self._classes:
            whole = self._open(module, owner)
            for method in owner.body:
                if isinstance(method, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    called = whole or method.name.startswith("__") or method.name in self._attributes
                    if called and (owner.name, method.name) not in module.methods:
                        yield module, owner, method

    def _open(self, module: Module, owner: ast.ClassDef) -> bool:
        """Whether code of others, a base class's, may call any method."""
        for base in owner.bases:
            name = ast.unparse(base.value if isinstance(base, ast.Subscript) else base).rpartition(".")[2]
            ours = next(((m, c) for m, c in self._classes if c.name == name), None)
            if ours is not None and ours[1] is not owner:
                if self._open(*ours):
                    return True
            elif name not in _CLOSED:
                return True
        return False


def runs(statement: ast.stmt) -> bool:
    """Whether importing the module does something by this statement beyond binding names."""
    if isinstance(statement, ast.Expr):
        return not (isinstance(statement.value, ast.Constant) and isinstance(statement.value.value, str))
    if isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.unparse(statement.test):
        return False
    return not bound(statement)


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else str(getattr(call.func, "id", ""))


def _source(name: str) -> Path | None:
    """The file of module `name` of this package, if there is such a module."""
    try:
        spec = find_spec(name) if name.partition(".")[0] == OWN else None
    except ModuleNotFoundError:
        return None
    return Path(spec.origin) if spec is not None and spec.origin else None
