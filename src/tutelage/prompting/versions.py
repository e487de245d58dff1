"""Versions of prompts: what a source like `teacher:MODEL@VERSION` stands for, as JSON and as text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tutelage.errors import ModelError
from tutelage.models.chat import Limits, Message, Params, Reply
from tutelage.project import Project


class Versioned(Protocol):
    """A predictor that asks with a prompt."""

    @property
    def source(self) -> str: ...

    @property
    def content(self) -> Mapping[str, Any]:
        """All that the version at the end of `source` is the hash of, and the model, as JSON."""
        ...


@dataclass(frozen=True)
class Version:
    source: str
    content: Mapping[str, Any]


def version_of(asked: Versioned) -> Version:
    return Version(asked.source, asked.content)


def register(project: Project, name: str, asked: Versioned) -> None:
    """Keep what `asked`, built for candidate `name`, asks with; a version that is kept already stays."""
    project.store.prompts.put(asked.source, name, asked.content)


class Unasked:
    """A model of which only the name is known, so that a prompt can be described where nobody can be asked (no key)."""

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    @property
    def limits(self) -> Limits:
        return Limits()

    async def complete(self, messages: Sequence[Message], params: Params) -> Reply:
        raise ModelError(f"{self._name!r} was only described, not built, and answers nothing.", fatal=True)

    async def count_tokens(self, messages: Sequence[Message]) -> int:
        raise ModelError(f"{self._name!r} was only described, not built, and counts nothing.", fatal=True)

    async def close(self) -> None:
        pass


def as_text(content: Mapping[str, Any]) -> str:
    """A version for people, every part under its name, so that two can be compared line by line."""
    return "\n".join(_lines(content)) + "\n"


def _lines(content: Mapping[str, Any]) -> Iterator[str]:
    if "of" in content:
        yield from _settings("asked several times", {k: v for k, v in content.items() if k not in ("of", "verifier")})
        yield from _lines(content["of"])
        if verifier := content.get("verifier"):
            yield "verified by:"
            yield from _indented(_lines(verifier))
        return
    yield f"model: {content['model']}"
    yield from _settings("settings", content["settings"])
    (default, *shown) = content["messages"]
    yield from _part("system", content.get("system", default[1]))
    yield from _part("user", content.get("user"), missing="the input")
    if shots := content.get("shots"):
        yield from _settings("shots, chosen for every input", shots)
    for number, (asked, solved) in enumerate(zip(shown[::2], shown[1::2], strict=True), 1):
        yield f"shot {number}:"
        yield from _indented([*_part("user", asked[1]), *_part("assistant", solved[1])])
    yield from _part("schema", json.dumps(content["schema"], indent=2, ensure_ascii=False))


def _settings(title: str, settings: Mapping[str, Any]) -> Iterator[str]:
    yield f"{title}:"
    yield from (f"  {name} = {json.dumps(settings[name], ensure_ascii=False)}" for name in sorted(settings))


def _part(title: str, text: str | None, missing: str = "") -> Iterator[str]:
    if text is None:
        yield f"{title}: ({missing})"
        return
    yield f"{title}:" if text else f"{title}: (none)"
    yield from _indented(text.split("\n") if text else ())  # not splitlines: a last line's end is part of a prompt


def _indented(lines: Iterable[str]) -> Iterator[str]:
    return (f"  {line}" if line else "" for line in lines)
