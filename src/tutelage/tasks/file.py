"""task.toml: what the task is. Unknown keys are errors that name the known ones."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator

from tutelage.errors import TaskFileError
from tutelage.tasks import OUTPUTS, Task
from tutelage.types import Split

T = TypeVar("T")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataFile(_Strict):
    """One file of examples that `tutelage run` adds."""

    file: str
    split: Split | None = None
    fields: dict[str, str] = {}
    label: str | dict[str, str] | None = None
    group: str | None = None
    source: str = "import"
    format: str | None = None


class Price(_Strict):
    """API price of a model in dollars per million tokens; `date` and `source` say where it was read.

    `batch_discount` is the share by which answers from a batch are cheaper.
    """

    input: float = Field(ge=0)
    output: float = Field(ge=0)
    cached_input: float | None = Field(default=None, ge=0)
    batch_discount: float = Field(default=0.5, ge=0, le=1)
    date: str | None = None
    source: str | None = None


class EndpointLimit(_Strict):
    """What an endpoint or a model allows a minute, and at a time; None: no limit."""

    requests_per_minute: int | None = Field(default=None, ge=1)
    tokens_per_minute: int | None = Field(default=None, ge=1)
    concurrency: int | None = Field(default=None, ge=1)


class Hardware(_Strict):
    """What local answers cost: seconds x dollars per hour / 3600 / occupancy (the share of time the machine is busy)."""

    name: str = "this machine"
    dollars_per_hour: float | None = Field(default=None, ge=0)
    occupancy: float = Field(default=0.5, gt=0, le=1)
    source: str | None = None


class Review(_Strict):
    """How labels are reviewed. With `annotators` nobody else may; with `assign` each example is one annotator's, by hash; a
    share `double` of the examples is labelled by two, neither of whom sees what the other said or what was suggested. `tags`
    name the kinds of errors."""

    annotators: list[str] = []
    assign: bool = False
    double: float = Field(default=0.0, ge=0, le=1)
    tags: list[str] = ["wrong", "missing", "too much", "wording", "unclear input"]


class Tracking(_Strict):
    """Where runs are logged besides the project's own store. Secrets come from the environment alone.

    `experiment` is MLflow's experiment or Weights & Biases' project; without `artefacts` the card alone is sent of a student.
    """

    to: str
    uri: str | None = None
    experiment: str | None = None
    artefacts: bool = True

    @field_validator("uri")
    @classmethod
    def _without_secrets(cls, uri: str | None) -> str | None:
        if uri and urlsplit(uri).password:
            raise TaskFileError(
                "[tracking] uri holds a password, and secrets come from the environment alone. Leave uri out and set "
                "MLFLOW_TRACKING_URI, or take the password out and set MLFLOW_TRACKING_USERNAME and _PASSWORD."
            )
        return uri


class TaskFile(_Strict):
    """The contents of task.toml."""

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")
    output: str
    fields: list[str] = Field(default=["text"], min_length=1)
    instructions: str = ""
    use: Literal["commercial", "research"] = "commercial"
    metric: str | None = None
    labels: list[str] | None = None
    grounded: bool | None = None
    answer_schema: dict[str, Any] | None = Field(default=None, alias="schema")
    normalisers: dict[str, str] | None = None
    max_characters: int | None = None
    language: str | None = None
    forbidden_openings: list[str] | None = None
    encoder: str | None = None
    encoder_layers: int | None = None
    teacher: str | None = None
    serve: str | None = None
    run: list[str] | None = None
    data: list[DataFile] = []
    candidates: dict[str, dict[str, Any]] = {}
    judges: dict[str, dict[str, Any]] = {}
    prices: dict[str, Price] = {}
    limits: dict[str, EndpointLimit] = {}
    hardware: Hardware = Hardware()
    tracking: Tracking | None = None
    review: Review = Review()

    def task(self) -> Task:
        """The task described. Raises TaskFileError, or UnknownName for an output kind or metric that does not exist."""
        kind: type[Task] = OUTPUTS.load(self.output)
        given: dict[str, Any] = {"labels": self.labels, "grounded": self.grounded}
        given |= {"max_characters": self.max_characters, "language": self.language, "encoder": self.encoder}
        given |= {"forbidden_openings": self.forbidden_openings, "encoder_layers": self.encoder_layers}
        given |= {"answer_schema": self.answer_schema, "normalisers": self.normalisers}
        known = {field.name for field in dataclasses.fields(kind)}
        extra: dict[str, Any] = {}
        for key, value in given.items():
            if value is None:
                continue
            if key not in known:
                key = "schema" if key == "answer_schema" else key
                raise TaskFileError(f"{key!r} does not go with output = {self.output!r}. Remove it.")
            extra[key] = tuple(value) if isinstance(value, list) else value
        task = kind(self.name, tuple(self.fields), self.instructions.strip(), **extra)
        if self.metric and self.metric not in task.metrics:
            raise TaskFileError(
                f"metric = {self.metric!r} does not go with output = {self.output!r}. Known: {', '.join(task.metrics)}."
            )
        return dataclasses.replace(task, metric=self.metric or task.metrics[0])


def read_task_file(path: Path) -> TaskFile:
    """task.toml at `path`. Raises TaskFileError with one line that names the place, the value and the remedy."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TaskFileError(
            f"There is no {path.name} in {path.parent}. Make a project with: tutelage init {path.parent} "
            "--output label|labels|strings|record|text"
        ) from None
    except OSError as error:
        raise TaskFileError(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise TaskFileError(f"{path} is not UTF-8 (byte {error.start}). Save it as UTF-8.") from None
    except tomllib.TOMLDecodeError as error:
        raise TaskFileError(f"{path} is not valid TOML: {error}.") from None
    if isinstance(data.get("schema"), str):
        data["schema"] = _schema_file(path.parent / Path(data["schema"]).expanduser())
    return validated(TaskFile, data, str(path))


def _schema_file(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise TaskFileError(f"The schema {path} cannot be read: {error.strerror or error}.") from None
    except (ValueError, RecursionError) as error:
        raise TaskFileError(f"The schema {path} is not JSON: {error}.") from None


def validated(kind: type[T], data: Mapping[str, Any], where: str) -> T:
    """`data` as a `kind` (a pydantic model or a dataclass). Raises TaskFileError with the first problem in one line."""
    if dataclasses.is_dataclass(kind):
        unknown = sorted(set(data) - {field.name for field in dataclasses.fields(kind)})
        if unknown:
            raise TaskFileError(_unknown(where, unknown[0], [field.name for field in dataclasses.fields(kind)]))
    try:
        return TypeAdapter(kind).validate_python(dict(data))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise TaskFileError(_unknown(where, place, _known(kind, first["loc"][:-1]))) from None
        value = "" if first["type"] == "missing" else f", found {first['input']!r}"
        raise TaskFileError(f"{where}: {place}: {first['msg'].lower()}{value}.") from None


def _unknown(where: str, key: str, known: list[str]) -> str:
    return f"{where}: unknown key {key!r}. Known: {', '.join(known)}."


def _known(kind: type[Any], place: tuple[int | str, ...]) -> list[str]:
    nested: dict[str, type[BaseModel]] = {
        "data": DataFile,
        "prices": Price,
        "limits": EndpointLimit,
        "hardware": Hardware,
        "tracking": Tracking,
        "review": Review,
    }
    model = nested.get(str(place[0]), kind) if place else kind
    return [field.alias or name for name, field in getattr(model, "model_fields", {}).items()]
