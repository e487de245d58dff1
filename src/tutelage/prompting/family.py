"""The family `prompted`: candidates in task.toml that are a language model asked with a prompt."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

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
from tutelage.prompting.versions import Unasked, Version, register, version_of
from tutelage.registry import Family, load
from tutelage.store import origin
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
    """The candidate, ready to ask; its version is kept. Raises UsageError for a missing key, DataError for a missing file."""
    asked = ready(name, settings, project)
    register(project, name, asked)
    return asked


def ready(name: str, settings: PromptedSettings, project: Project) -> Prompted:
    """As `build_prompted`, for a part of another candidate, which keeps a version of its own."""
    return prompted_for(project.task, name, settings, project, selector(settings, project))


def unasked(name: str, settings: PromptedSettings, project: Project) -> Prompted:
    """As `ready` over a model that answers nothing: it needs no key, and no model file is opened."""
    return prompted_for(project.task, name, settings, project, selector(settings, project), nobody(settings))


def nobody(settings: PromptedSettings) -> Unasked:
    """A model by the name that the model of `settings` has."""
    return Unasked(Path(settings.model).stem if settings.provider == "gguf" else settings.model)


def describe_prompted(name: str, settings: PromptedSettings, project: Project) -> Version:
    """The candidate's prompt as it is now, whether or not anybody can be asked. Raises as templates and selectors do."""
    return version_of(unasked(name, settings, project))


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
    task: Task,
    name: str,
    settings: PromptedSettings,
    project: Project,
    shots: Selector | None = None,
    model: ChatModel | None = None,
) -> Prompted:
    """The model of `settings`, or `model`, asked to do `task`, which need not be the project's (a judge's is not)."""
    settings = with_templates(settings, project)
    price = project.price(settings.provider, settings.base_url, settings.model)
    return Prompted(model or model_of(settings, project), task, settings, name=name, selector=shots, price=price)


def model_of(settings: PromptedSettings, project: Project) -> ChatModel:
    """The model that `settings` name, priced as task.toml says. Raises as `build_prompted`."""
    if project.dry:
        return nobody(settings)
    given = ModelSettings(
        model=settings.model,
        base_url=settings.base_url,
        api_key_env=settings.api_key_env,
        dialect=settings.dialect,
        timeout=settings.timeout,
        max_retries=settings.max_retries,
        context=settings.context or DEFAULT_CONTEXT,
        threads=settings.threads,
        price=project.price(settings.provider, settings.base_url, settings.model),
        folder=project.folder,
    )
    paces = project.paces(endpoints(settings.provider, settings.base_url, settings.model))
    return build_model(settings.provider, given, paces)


def fingerprint_prompted(_name: str, settings: PromptedSettings, project: Project) -> object:
    """What decides the answers besides the settings, see `prompt_facts`."""
    return prompt_facts(project.task, settings, project)


def prompt_facts(task: Task, settings: PromptedSettings, project: Project) -> object:
    """What decides the answers to `task` besides the settings: the prompt with its shots, and the size of a local file."""
    settings = with_templates(settings, project)
    form, shots = form_of(task, settings), selector(settings, project) or FixedShots(())
    return [Template(form, shots, settings.system, settings.user).facts(), file_size(settings, project)]


def file_size(settings: PromptedSettings, project: Project) -> int | None:
    """Bytes of the model's file, or of the files in its folder; None for one that somebody else runs."""
    file = project.path(settings.model)
    if settings.provider == "transformers" and file.is_dir():
        return sum(part.stat().st_size for part in file.iterdir() if part.is_file())
    return file.stat().st_size if settings.provider != "openai" and file.is_file() else None


def selector(settings: PromptedSettings, project: Project) -> Selector | None:
    """The candidate's shots, None without any. Raises as `build_selector` and `stored_encoder`."""
    if not settings.shots:
        return None
    encoder = None
    if settings.base:
        encoder = load(STORED_ENCODER)(settings.base, project.path, project.artefacts / "encoders", settings.threads)
    return build_selector(project.task, pool(settings, project), settings.shot_options, encoder)


def pool(settings: PromptedSettings, project: Project) -> list[Labelled]:
    """What shots are chosen from: labelled examples of train, a person's before a teacher's, at most POOL; no pseudo-label,
    and none that a model wrote, or the teacher's prompt would change with what it is asked to label."""
    wanted = settings.shots if settings.selector == "fixed" else POOL
    found = list(islice(project.store.labels.read("train", "gold"), wanted))
    if len(found) < settings.shots:
        known = {labelled.example.id for labelled in found}
        others = (
            one
            for one in project.store.labels.read("train", "any")
            if one.example.id not in known and not one.example.synthetic and origin(one.source) != "weak"
        )
        found += islice(others, wanted - len(found))
    return found


FAMILY = Family("llm", PromptedSettings, build_prompted, fingerprint_prompted, version=describe_prompted)
