"""A gateway from its settings: tasks, upstreams, keys, caches and traces, ready to be served."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp

from tutelage import settings as environment
from tutelage.errors import TaskFileError, TutelageError, UsageError
from tutelage.gateway.cache import open_cache
from tutelage.gateway.keys import open_door
from tutelage.gateway.operation.operations import Operations
from tutelage.gateway.pipeline import Gateway
from tutelage.gateway.routes import AliasRoute, Route, Routes
from tutelage.gateway.settings import GatewaySettings, Target, Upstream
from tutelage.gateway.systems import Systems
from tutelage.gateway.telemetry import ALONE, Telemetry, Worker
from tutelage.gateway.telemetry.readings import of_aliases, of_cache, of_recorder, of_semantic
from tutelage.gateway.traces import open_recorder
from tutelage.gateway.upstreams.alias import Alias
from tutelage.gateway.upstreams.target import Endpoint, HTTPWire, Wire
from tutelage.gateway.upstreams.vendor import VendorWire
from tutelage.models.loopback import is_loopback
from tutelage.project import Project
from tutelage.registry import load
from tutelage.store import Store, open_store
from tutelage.tasks import Task

if TYPE_CHECKING:
    from tutelage.gateway.cache.semantic import SemanticCache


@dataclass
class Opened:
    """A gateway and what it holds open. `skipped`: candidates that are not served, and why."""

    gateway: Gateway
    store: Store
    telemetry: Telemetry
    session: Session
    wires: Sequence[Wire]
    systems: Systems
    skipped: Mapping[str, str] = field(default_factory=dict)
    started: bool = False
    stopping: bool = False

    @property
    def tasks(self) -> dict[str, Task]:
        """Those that are served, by name."""
        return {slot.project.task.name: slot.project.task for slot in self.systems.slots.values()}

    async def start(self) -> None:
        await self.systems.start()
        await self.gateway.recorder.start()
        await self.gateway.door.start()
        await self.telemetry.start()
        self.started = True

    async def close(self) -> None:
        """Everything that was begun is finished and written; called when no request is under way."""
        self.started = False
        await self.systems.close()
        for wire in self.wires:
            await wire.close()
        await self.session.close()
        if self.gateway.cache:
            await self.gateway.cache.close()
        if self.gateway.alike:
            await self.gateway.alike.close()
        # The door's leases go back after the spend that the spool still holds has reached the accounts.
        await self.gateway.recorder.close()
        await self.gateway.door.close()
        await self.telemetry.close()

    def problems(self) -> list[str]:
        """Why it cannot answer; [] when it can."""
        if self.stopping:
            return ["it is stopping"]
        return [] if self.started else ["it is starting or stopping"]

    def notes(self) -> list[str]:
        """What is amiss although it answers: what is newer on disk and cannot be served, or is gone."""
        return self.systems.notes()


class Session:
    """The one HTTP client, made in the loop that uses it."""

    def __init__(self) -> None:
        self._made: aiohttp.ClientSession | None = None

    def __call__(self) -> aiohttp.ClientSession:
        if self._made is None:
            # Time limits are the attempts'; connections are as many as requests are under way.
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60)
            none = aiohttp.ClientTimeout(total=None, sock_connect=10)
            self._made = aiohttp.ClientSession(connector=connector, timeout=none, read_bufsize=2**20)
        return self._made

    async def close(self) -> None:
        if self._made is not None:
            await self._made.close()


def open_gateway(
    settings: GatewaySettings,
    folder: Path,
    projects: Sequence[Project],
    names: Sequence[str] = (),
    worker: Worker = ALONE,
) -> Opened:
    """The gateway of `projects` and the upstreams in `settings`; `names` are the candidates to be served (default: all ready).

    `worker` says which one of several processes this is. Raises TutelageError in one line when something cannot be had.
    """
    store = open_store(settings.database) if settings.database else _store(projects, folder)
    systems, skipped = _systems(projects, names)
    return assembled(settings, folder, store, systems, skipped, worker)


def assembled(
    settings: GatewaySettings,
    folder: Path,
    store: Store,
    systems: Systems,
    skipped: Mapping[str, str],
    worker: Worker = ALONE,
) -> Opened:
    """The gateway of what `systems` serves and the upstreams in `settings`; its spool and caches are in `folder`."""
    owner = uuid.uuid4().hex
    session = Session()
    wires: list[Wire] = []
    by_name: dict[str, Route] = {**systems.routes()}
    for name, upstream in settings.upstreams.items():
        if name in by_name:
            raise TaskFileError(f"[upstreams.{name}]: the name is taken by a task or candidate. Choose another.")
        by_name[name] = AliasRoute(_alias(name, upstream, session, wires))
    if not by_name:
        raise UsageError("Nothing is ready to be served. Run: tutelage train, or add [upstreams.NAME] to gateway.toml")
    door = open_door(store, settings, owner)
    telemetry = Telemetry(settings, by_name, door.name_of, worker)
    alike = _alike(settings, folder, by_name)
    gateway = Gateway(
        settings,
        owner,
        Routes(by_name, _fallbacks(settings, by_name)),
        door,
        open_recorder(store, folder, settings.traces, owner),
        open_cache(settings.cache, settings.redis, folder),
        telemetry,
        alike,
    )
    systems.operate(Operations(store, gateway.recorder, settings.operation, session, owner))
    aliases = [route.alias for route in by_name.values() if isinstance(route, AliasRoute)]
    for reading in (of_recorder(gateway.recorder), of_aliases(aliases), systems.measures):
        telemetry.read(reading)
    if gateway.cache:
        telemetry.read(of_cache(gateway.cache.stats))
    if alike:
        telemetry.read(of_semantic(lambda: alike.stats))
    return Opened(gateway, store, telemetry, session, wires, systems, skipped)


def _alike(settings: GatewaySettings, folder: Path, by_name: Mapping[str, Route]) -> SemanticCache | None:
    """The semantic cache, whose libraries are loaded for those who want it: they are a third of the memory."""
    if settings.cache.semantic is None:
        return None
    for name in settings.cache.semantic.models:
        if name not in by_name:
            raise TaskFileError(f"[cache.semantic] models: {name!r} is not served. Served: {', '.join(by_name)}.")
    make: Callable[..., SemanticCache | None] = load("tutelage.gateway.cache.semantic:open_semantic")
    return make(settings.cache, lambda path: folder / Path(path).expanduser(), folder)


def _fallbacks(settings: GatewaySettings, by_name: Mapping[str, Route]) -> dict[str, list[str]]:
    found = {name: one.fallbacks for name, one in settings.upstreams.items() if one.fallbacks} | settings.fallbacks
    for name, chain in found.items():
        for one in (name, *chain):
            if one not in by_name:
                raise TaskFileError(f"fallbacks of {name!r}: {one!r} is not served. Served: {', '.join(by_name)}.")
    return found


def _store(projects: Sequence[Project], folder: Path) -> Store:
    return projects[0].store if projects else open_store(folder / "tutelage.db")


def _systems(projects: Sequence[Project], names: Sequence[str]) -> tuple[Systems, dict[str, str]]:
    systems, skipped = Systems(single=len(projects) == 1), dict[str, str]()
    for project in projects:
        for name in names or project.selected():
            try:
                systems.add(project, name)
            except TutelageError as error:
                if names:
                    raise
                skipped[f"{project.task.name}/{name}"] = str(error)
    return systems, skipped


def _alias(name: str, upstream: Upstream, session: Session, wires: list[Wire]) -> Alias:
    endpoints = []
    for target in upstream.targets:
        openai = target.provider == "openai"
        wire: Wire = HTTPWire(session, target, _key(name, target)) if openai else VendorWire(target)
        wires.append(wire)
        endpoints.append(Endpoint(target, upstream, wire, f"{name}/{_place(target)}"))
    return Alias(name, upstream, endpoints)


def _place(target: Target) -> str:
    host = (target.base_url or "").removeprefix("https://").removeprefix("http://").partition("/")[0]
    return f"{target.model}@{host}" if host else target.model


def _key(name: str, target: Target) -> str:
    try:
        return environment.api_key(target.api_key_env)
    except UsageError as error:
        if target.base_url and is_loopback(target.base_url):
            return "none"
        raise UsageError(f"[upstreams.{name}]: {error}") from None
