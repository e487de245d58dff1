"""What `model` may name: a task's system ("characters"), one of its candidates ("characters/tagger"), or an upstream's alias."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from tutelage.errors import TutelageError
from tutelage.gateway.errors import WireError
from tutelage.gateway.upstreams.alias import Alias
from tutelage.gateway.upstreams.failures import AttemptFailed
from tutelage.gateway.upstreams.target import Streamed
from tutelage.gateway.watching import STEPS, Use
from tutelage.gateway.wire.answers import completion, response
from tutelage.gateway.wire.asking import PATHS, Asked, task_input
from tutelage.models.prices import nanodollars
from tutelage.project import Project
from tutelage.prompting.prompted import Asked as Prompted
from tutelage.store.traces import Step
from tutelage.tasks import Task
from tutelage.types import Input, Prediction, Predictor, Usage

NOBODY = Usage(dollars=0.0)


@dataclass(slots=True)
class Trail:
    """What is found out on the way to an answer, for its trace and its headers."""

    id: str
    steps: list[Step] = field(default_factory=list)
    source: str = ""
    task: str | None = None
    usage: Usage = NOBODY
    nanodollars: int | None = 0
    confidence: float | None = None
    threshold: float | None = None
    certificate: str | None = None
    escalated: bool | None = None
    mode: str | None = None
    note: str | None = None
    cache: str | None = None
    input: Any = None
    output: Any = None
    first: float | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer: OpenAI's body, parsed and, where it came from elsewhere, as the bytes that came."""

    parsed: Mapping[str, Any]
    raw: bytes | None = None


class Route(Protocol):
    """Somebody who answers."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str:
        """Changes when what answers does: kept answers are of one version."""

    @property
    def pure(self) -> bool:
        """Whether the answer depends on the text alone, not on when or by whom it is asked."""

    def most(self, asked: Asked) -> int | None:
        """The most nanodollars that the answer may cost; None where a price is not known. Raises WireError 400."""

    async def answer(self, asked: Asked, trail: Trail) -> Answer:
        """The whole answer. Raises AttemptFailed; WireError where the request is at fault."""

    async def stream(self, asked: Asked, trail: Trail) -> Streamed | Answer:
        """The answer as it is written, or whole from who writes it at once. Raises as `answer`."""


class AliasRoute:
    """An upstream's alias."""

    version = ""
    pure = False

    def __init__(self, alias: Alias) -> None:
        self.alias = alias

    @property
    def name(self) -> str:
        return self.alias.name

    def most(self, asked: Asked) -> int | None:
        costs = [nanodollars(one.price, asked.tokens, asked.most) for one in self.alias.endpoints]
        known = [one for one in costs if one is not None]
        return max(known) if len(known) == len(costs) else None

    async def answer(self, asked: Asked, trail: Trail) -> Answer:
        trail.input = asked.given
        found = await self.alias.ask(PATHS[asked.kind], asked.body, asked.tokens, trail.steps)
        trail.source, trail.usage = found.target.name, found.usage
        trail.nanodollars = _nano(found.usage)
        trail.output = found.parsed.get("choices") or found.parsed.get("output")
        return Answer(found.parsed, found.body)

    async def stream(self, asked: Asked, trail: Trail) -> Streamed:
        trail.input = asked.given
        body = asked.body
        if asked.kind == "chat":  # what it cost is told in the last chunk, for those who ask
            body = {**body, "stream_options": {**(body.get("stream_options") or {}), "include_usage": True}}
        found = await self.alias.stream(PATHS[asked.kind], body, asked.tokens, trail.steps)
        trail.source = found.target.name
        return found


class Operating(Protocol):
    """Who decides which part of a candidate answers."""

    @property
    def mode(self) -> str: ...

    async def answer(self, given: Input, trail: Trail) -> Prediction:
        """Raises TutelageError, AttemptFailed."""


@dataclass(frozen=True)
class Served:
    """A candidate of a task, ready. `parts` are the prompted models in it, whose calls cost money; `threshold` and
    `certificate` (a short digest and its status) those under which it answers; `operation` decides who of it does."""

    name: str
    project: Project
    predictor: Predictor
    parts: Sequence[Prompted] = ()
    version: str = ""
    threshold: float | None = None
    certificate: str | None = None
    operation: Operating | None = None
    use: Use = field(default_factory=Use)

    @property
    def task(self) -> Task:
        return self.project.task

    def most(self, given: Input) -> int | None:
        """The most nanodollars that an answer to `given` may cost; None where a price is not known."""
        total = 0
        for part in self.parts:
            dollars = part.dollars(given)
            if dollars is None:
                return None
            total += round(dollars * 1e9)
        return total


class SystemRoute:
    """A task's system or one of its candidates."""

    def __init__(self, name: str, served: Served) -> None:
        self.name, self.served = name, served

    @property
    def version(self) -> str:
        served = self.served
        return f"{served.version}|{served.operation.mode}" if served.operation else served.version

    @property
    def pure(self) -> bool:
        return not self.served.parts

    def most(self, asked: Asked) -> int | None:
        return self.served.most(task_input(asked, self.served.task)) if self.served.parts else 0

    async def answer(self, asked: Asked, trail: Trail) -> Answer:
        task = self.served.task
        given = task_input(asked, task)
        text = await self.predicted(given, trail)
        made = response if asked.kind == "responses" else completion
        return Answer(made(trail.id, asked.model, text, trail.usage))

    async def predicted(self, given: Input, trail: Trail) -> str:
        """The rendered answer to `given`. Raises AttemptFailed where there is none."""
        served = self.served  # it may be replaced meanwhile
        trail.task, trail.input = served.task.name, given
        trail.threshold, trail.certificate = served.threshold, served.certificate
        token = STEPS.set(trail.steps)
        try:
            with served.use:
                prediction = await _asked(served, given, trail)
        except TutelageError as error:
            raise AttemptFailed(str(error), 502, again=False) from None
        finally:
            STEPS.reset(token)
        trail.source, trail.usage = prediction.source, prediction.usage
        trail.confidence, trail.note = prediction.confidence, prediction.note
        trail.nanodollars = _nano(prediction.usage) if served.parts else 0
        if prediction.value is None:
            raise AttemptFailed(prediction.error or "The candidate gave no answer.", 502, again=False)
        trail.output = prediction.value
        return served.task.render(prediction.value)

    async def stream(self, asked: Asked, trail: Trail) -> Answer:
        return await self.answer(asked, trail)


async def _asked(served: Served, given: Input, trail: Trail) -> Prediction:
    if served.operation is not None:
        return await served.operation.answer(given, trail)
    (found,) = await served.predictor.predict([given])
    return found


@dataclass(frozen=True)
class Routes:
    """Everything that can be asked, by name; `fallbacks` name who is asked next when the one named fails."""

    by_name: Mapping[str, Route]
    fallbacks: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def named(self, name: str) -> Route:
        """The route `name`. Raises WireError 404."""
        if name not in self.by_name:
            known = ", ".join(self.by_name) or "(none)"
            raise WireError(404, f"The model {name!r} does not exist. Known: {known}.", code="model_not_found")
        return self.by_name[name]

    def chain(self, name: str) -> list[Route]:
        """The route `name` and, after it, whom it falls back on, each once. Raises WireError 404."""
        first = self.named(name)
        if name not in self.fallbacks:
            return [first]
        names, found = [name], list[str]()
        while names:
            one = names.pop(0)
            if one in self.by_name and one not in found:
                found.append(one)
                names = [*self.fallbacks.get(one, ()), *names]
        return [self.by_name[one] for one in found]


def charged(trail: Trail, usage: Usage) -> None:
    """Counts a stream's usage, which is known at its end, beside that of streams that broke before it."""
    if trail.steps:
        trail.steps[-1] = replace(trail.steps[-1], usage=usage)
    trail.usage += usage
    trail.nanodollars = _nano(trail.usage)


def _nano(usage: Usage) -> int | None:
    return None if usage.dollars is None else round(usage.dollars * 1e9)
