"""The family `prompted`: candidates in task.toml that are a language model asked with a prompt."""

from __future__ import annotations

from itertools import islice

from tutelage.models import PROVIDERS, ChatModel, ModelSettings
from tutelage.project import Project
from tutelage.prompting.prompted import Prompted
from tutelage.prompting.selectors import Selector, build_selector
from tutelage.prompting.settings import PromptedSettings
from tutelage.prompting.template import Template
from tutelage.registry import Family
from tutelage.tasks import Task
from tutelage.types import Labelled

POOL = 20_000
"""Examples that selectors choose from at most: more make them slow and hardly better."""

DEFAULT_CONTEXT = 4096


def build_prompted(name: str, settings: PromptedSettings, project: Project) -> Prompted:
    """The candidate, ready to ask. Raises UsageError for a missing key, DataError for a missing model file."""
    return prompted_for(project.task, name, settings, project, selector(settings, project))


def prompted_for(
    task: Task, name: str, settings: PromptedSettings, project: Project, shots: Selector | None = None
) -> Prompted:
    """The model of `settings` asked to do `task`, which need not be the project's (a judge's is not)."""
    price = project.file.prices.get(settings.model)
    return Prompted(model_of(settings, project), task, settings, name=name, selector=shots, price=price)


def model_of(settings: PromptedSettings, project: Project) -> ChatModel:
    """The model that `settings` name, priced as task.toml says. Raises as `build_prompted`."""
    given = ModelSettings(
        model=settings.model,
        base_url=settings.base_url,
        api_key_env=settings.api_key_env,
        timeout=settings.timeout,
        max_retries=settings.max_retries,
        context=settings.context or DEFAULT_CONTEXT,
        threads=settings.threads,
        price=project.file.prices.get(settings.model),
        folder=project.folder,
    )
    model: ChatModel = PROVIDERS.load(settings.provider)(given)
    return model


def fingerprint_prompted(_name: str, settings: PromptedSettings, project: Project) -> object:
    """What decides the answers besides the settings: the prompt with its shots, and the size of a local file."""
    file = project.path(settings.model)
    size = file.stat().st_size if settings.provider != "openai" and file.is_file() else None
    return [Template(project.task, selector(settings, project)).facts(), size]


def selector(settings: PromptedSettings, project: Project) -> Selector:
    """The candidate's shots. Raises UnknownName for a selector that does not exist."""
    return build_selector(project.task, _pool(settings, project), settings.shot_options, None)


def _pool(settings: PromptedSettings, project: Project) -> list[Labelled]:
    """What shots are chosen from: labelled examples of train, a person's before a teacher's, at most POOL."""
    if not settings.shots:
        return []
    wanted = settings.shots if settings.selector == "fixed" else POOL
    pool = list(islice(project.store.labels.read("train", "gold"), wanted))
    if len(pool) < settings.shots:
        known = {labelled.example.id for labelled in pool}
        others = (found for found in project.store.labels.read("train", "any") if found.example.id not in known)
        pool += islice(others, wanted - len(pool))
    return pool


FAMILY = Family("llm", PromptedSettings, build_prompted, fingerprint_prompted)
