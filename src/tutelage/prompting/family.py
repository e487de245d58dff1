"""The family `prompted`: candidates in task.toml that are a language model asked with a prompt."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

from tutelage.errors import TaskFileError
from tutelage.models import ChatModel, ModelSettings
from tutelage.models.build import build_model, endpoints
from tutelage.project import Project
from tutelage.prompting.form import form_of
from tutelage.prompting.prompted import Prompted
from tutelage.prompting.selectors import Selector, build_selector
from tutelage.prompting.selectors.fixed import FixedShots
from tutelage.prompting.settings import PromptedSettings
from tutelage.prompting.template import Template
from tutelage.registry import Family, load
from tutelage.tasks import Task
from tutelage.types import Labelled

POOL = 20_000
"""Examples that selectors choose from at most: more make them slow and hardly better."""

DEFAULT_CONTEXT = 4096

STORED_ENCODER = "tutelage.embeddings.stored:stored_encoder"
"""Loaded when a candidate needs one: it takes as long to import as all the rest."""

TEMPLATE_FILES = (".jinja", ".txt", ".md")
"""A template that is one line with such an end is a file's path."""


def build_prompted(name: str, settings: PromptedSettings, project: Project) -> Prompted:
    """The candidate, ready to ask. Raises UsageError for a missing key, DataError for a missing model file."""
    return prompted_for(project.task, name, settings, project, selector(settings, project))


def with_templates(settings: PromptedSettings, project: Project) -> PromptedSettings:
    """`settings` with the templates that are in files as text. Raises TaskFileError for a file that cannot be read."""
    system, user = (_read(name, getattr(settings, name), project) for name in ("system", "user"))
    return replace(settings, system=system, user=user)


def _read(name: str, given: str | None, project: Project) -> str | None:
    if given is None or "\n" in given or not given.endswith(TEMPLATE_FILES):
        return given
    try:
        return project.path(given).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else error.strerror
        raise TaskFileError(f"The template {name} = {given!r} cannot be read: {reason}. Check the path.") from None


def prompted_for(
    task: Task, name: str, settings: PromptedSettings, project: Project, shots: Selector | None = None
) -> Prompted:
    """The model of `settings` asked to do `task`, which need not be the project's (a judge's is not)."""
    settings = with_templates(settings, project)
    price = project.file.prices.get(settings.model)
    return Prompted(model_of(settings, project), task, settings, name=name, selector=shots, price=price)


def model_of(settings: PromptedSettings, project: Project) -> ChatModel:
    """The model that `settings` name, priced as task.toml says. Raises as `build_prompted`."""
    given = ModelSettings(
        model=settings.model,
        base_url=settings.base_url,
        api_key_env=settings.api_key_env,
        dialect=settings.dialect,
        timeout=settings.timeout,
        max_retries=settings.max_retries,
        context=settings.context or DEFAULT_CONTEXT,
        threads=settings.threads,
        price=project.file.prices.get(settings.model),
        folder=project.folder,
    )
    paces = project.paces(endpoints(settings.provider, settings.base_url, settings.model))
    return build_model(settings.provider, given, paces)


def fingerprint_prompted(_name: str, settings: PromptedSettings, project: Project) -> object:
    """What decides the answers besides the settings: the prompt with its shots, and the size of a local file."""
    file = project.path(settings.model)
    size = file.stat().st_size if settings.provider != "openai" and file.is_file() else None
    settings = with_templates(settings, project)
    form, shots = form_of(project.task, settings), selector(settings, project) or FixedShots(())
    return [Template(form, shots, settings.system, settings.user).facts(), size]


def selector(settings: PromptedSettings, project: Project) -> Selector | None:
    """The candidate's shots, None without any. Raises as `build_selector` and `stored_encoder`."""
    if not settings.shots:
        return None
    encoder = None
    if settings.base:
        encoder = load(STORED_ENCODER)(settings.base, project.path, project.artefacts / "encoders", settings.threads)
    return build_selector(project.task, _pool(settings, project), settings.shot_options, encoder)


def _pool(settings: PromptedSettings, project: Project) -> list[Labelled]:
    """What shots are chosen from: labelled examples of train, a person's before a teacher's, at most POOL."""
    wanted = settings.shots if settings.selector == "fixed" else POOL
    pool = list(islice(project.store.labels.read("train", "gold"), wanted))
    if len(pool) < settings.shots:
        known = {labelled.example.id for labelled in pool}
        others = (found for found in project.store.labels.read("train", "any") if found.example.id not in known)
        pool += islice(others, wanted - len(pool))
    return pool


FAMILY = Family("llm", PromptedSettings, build_prompted, fingerprint_prompted)
