"""gateway.toml: how the gateway serves. Unknown keys are errors that name the known ones; secrets come from the environment.

tasks = ["."]                                  # folders of projects, relative to this file

[upstreams.gpt]                                # an alias: `model` = "gpt"
targets = [{model = "gpt-5-mini", api_key_env = "OPENAI_API_KEY"}, {model = "gpt-5-mini", base_url = "https://..."}]
fallbacks = ["local"]
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from tutelage.errors import TaskFileError
from tutelage.tasks.file import Price, validated

FILE = "gateway.toml"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Target(_Strict):
    """One place where an alias is answered. `provider` as for candidates; times in seconds; `context` in tokens.

    `prompt_cache` asks the provider to keep the beginning of prompts: requests with the same system prompt get the same
    `prompt_cache_key`, by which OpenAI sends them to one machine, unless they bring their own.
    """

    model: str
    provider: Literal["openai", "any-llm"] = "openai"
    base_url: str | None = None
    api_key_env: str = "OPENAI_API_KEY"
    weight: float = Field(default=1.0, gt=0)
    context: int | None = Field(default=None, ge=1)
    concurrency: int | None = Field(default=None, ge=1)
    price: Price | None = None
    prompt_cache: bool = False


class Upstream(_Strict):
    """An alias. Its targets are tried as `balance` says, `retries` times more in all; then its `fallbacks` in order, which are
    aliases or what the gateway serves ("characters/tagger"). `hedge` is the quantile of past latencies after which a second
    attempt is started beside the first. `open_after` failures in a row open a target's circuit for `open_seconds`."""

    targets: list[Target] = Field(min_length=1)
    balance: Literal["weighted", "least-busy", "latency"] = "weighted"
    retries: int = Field(default=2, ge=0, le=10)
    attempt_timeout: float = Field(default=60.0, gt=0)
    total_timeout: float = Field(default=120.0, gt=0)
    hedge: float | None = Field(default=None, gt=0, lt=1)
    fallbacks: list[str] = []
    open_after: int = Field(default=5, ge=1)
    open_seconds: float = Field(default=10.0, gt=0)


class Server(_Strict):
    """The server. `access` "keys": only requests with a key of `tutelage keys` are answered. Sizes in bytes, times in seconds.

    A client has `header_timeout` for its headers and `body_timeout` for its body, and is cut off when it takes nothing of
    its answer for `write_timeout`. On SIGTERM requests under way have `drain` seconds to end.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    workers: int = Field(default=1, ge=1)
    access: Literal["open", "keys"] = "open"
    max_body: int = Field(default=16 * 1024 * 1024, ge=1024)
    header_timeout: float = Field(default=15.0, gt=0)
    body_timeout: float = Field(default=30.0, gt=0)
    write_timeout: float = Field(default=60.0, gt=0)
    drain: float = Field(default=30.0, ge=0)


class SemanticCache(_Strict):
    """`error_budget` is the share of served hits that may be wrong. `reask` is the share of hits that is asked again, to
    estimate how many are. `models` are those whose answers are kept, `encoder` a sentence encoder's folder or name."""

    error_budget: float = Field(gt=0, lt=1)
    encoder: str
    models: list[str] = Field(min_length=1)
    reask: float = Field(default=0.05, ge=0, le=1)
    size: int = Field(default=10_000, ge=1)


class Cache(_Strict):
    """`ttl` in seconds, `size` in entries; Redis keeps to its own memory and policy instead of `size` and `policy`. `sampled`:
    keep answers of requests that sample (temperature above 0) too. Requests that match one of `never` (regular expressions)
    are not kept, besides those that name a time or a person's data."""

    kind: Literal["none", "memory", "sqlite", "redis"] = "none"
    policy: Literal["lru", "lfu", "fifo"] = "lru"
    ttl: float = Field(default=3600.0, gt=0)
    size: int = Field(default=10_000, ge=1)
    sampled: bool = False
    never: list[str] = []
    semantic: SemanticCache | None = None

    @field_validator("never")
    @classmethod
    def _are_patterns(cls, never: list[str]) -> list[str]:
        for pattern in never:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is not a regular expression: {error}") from None
        return never


class Traces(_Strict):
    """`sample` is the share whose input and output are kept (who, when and what it cost always is), `keep_days` how long,
    `redact` regular expressions whose matches are blanked, `spool` the most bytes that wait for the database."""

    sample: float = Field(default=1.0, ge=0, le=1)
    keep_days: float | None = Field(default=None, gt=0)
    redact: list[str] = []
    spool: int = Field(default=256 * 1024 * 1024, ge=1024 * 1024)


class Operation(_Strict):
    """How cascades are watched: `audit` is the share of answers that the last stage is asked too, `delta` the probability of
    ever demoting without cause, `webhook` a URL that is told."""

    audit: float = Field(default=0.02, ge=0, le=1)
    delta: float = Field(default=0.05, gt=0, lt=1)
    webhook: str | None = None


class Telemetry(_Strict):
    """`metrics` serves Prometheus' text at /metrics; `otlp` is an OTLP/HTTP endpoint for traces and metrics; `content`: whether
    spans hold prompts and answers, and log lines the words of every error. `spans` is the share of requests that become spans
    (metrics are of all). `log` "requests": a line for every request, else for errors alone."""

    metrics: bool = True
    otlp: str | None = Field(default=None, pattern=r"^https?://[^/]+")
    content: bool = False
    spans: float = Field(default=1.0, ge=0, le=1)
    log: Literal["errors", "requests"] = "errors"


class GatewaySettings(_Strict):
    """The contents of gateway.toml. `database` is where traces, keys and spend are kept (default: tutelage.db of the first
    task), `redis` a URL through which several replicas share limits and caches, `fallbacks` who is asked when what is
    served of a task fails ("characters/tagger" = ["gpt"])."""

    tasks: list[str] = ["."]
    database: str | None = None
    redis: str | None = None
    server: Server = Server()
    upstreams: dict[str, Upstream] = {}
    fallbacks: dict[str, list[str]] = {}
    cache: Cache = Cache()
    traces: Traces = Traces()
    operation: Operation = Operation()
    telemetry: Telemetry = Telemetry()

    @model_validator(mode="after")
    def _shared(self) -> GatewaySettings:
        if self.cache.kind == "redis" and not self.redis:
            raise ValueError('[cache] kind = "redis" needs redis = "redis://HOST:PORT/0"')
        return self


def read_settings(path: Path) -> GatewaySettings:
    """gateway.toml at `path`. Raises TaskFileError with one line that names the place, the value and the remedy."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TaskFileError(f"{path} cannot be read: {error.strerror}. Give --settings FILE.") from None
    except UnicodeDecodeError as error:
        raise TaskFileError(f"{path} is not UTF-8 (byte {error.start}). Save it as UTF-8.") from None
    except tomllib.TOMLDecodeError as error:
        raise TaskFileError(f"{path} is not valid TOML: {error}.") from None
    return validated(GatewaySettings, data, str(path))


def database_of(folder: Path, file: Path | None = None, database: str | None = None) -> str | Path:
    """Where the gateway that is served from `folder` (or with the settings in `file`) keeps traces, keys and spend.

    Raises TaskFileError where nothing can be served from the folder.
    """
    if database:
        return database
    if file is None and not (folder / FILE).is_file():
        if not (folder / "task.toml").is_file():
            raise TaskFileError(
                f"There is no {FILE} and no task.toml in {folder}. Give -C DIR, --settings or --database."
            )
        return folder / "tutelage.db"
    file = file or folder / FILE
    settings = read_settings(file)
    first = settings.tasks[0] if settings.tasks else "."
    return settings.database or file.parent / first / "tutelage.db"
