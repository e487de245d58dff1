"""The family `prompted`: candidates in task.toml that are a language model asked with a prompt."""

from __future__ import annotations

from itertools import islice

from tutelage.models import PROVIDERS, ChatModel, ModelSettings
from tutelage.project import Project
from tutelage.prompting.prompted import Prompted, PromptedSettings
from tutelage.prompting.template import Template
from tutelage.registry import Family
from tutelage.types import Labelled


def build_prompted(name: str, settings: PromptedSettings, project: Project) -> Prompted:
    """The candidate, ready to ask. Raises UsageError for a missing key, DataError for a missing model file."""
    price = project.file.prices.get(settings.model)
    given = ModelSettings(
        model=settings.model,
        base_url=settings.base_url,
        api_key_env=settings.api_key_env,
        timeout=settings.timeout,
        max_retries=settings.max_retries,
        context=settings.context,
        threads=settings.threads,
        price=price,
        folder=project.folder,
    )
    model: ChatModel = PROVIDERS.load(settings.provider)(given)
    return Prompted(model, project.task, settings, name=name, shots=_shots(settings, project), price=price)


def fingerprint_prompted(_name: str, settings: PromptedSettings, project: Project) -> object:
    """What decides the answers besides the settings: the prompt with its shots, and the size of a local file."""
    file = project.path(settings.model)
    size = file.stat().st_size if settings.provider != "openai" and file.is_file() else None
    return [Template(project.task, _shots(settings, project)).facts(), size]


def _shots(settings: PromptedSettings, project: Project) -> tuple[Labelled, ...]:
    if not settings.shots:
        return ()
    return tuple(islice(project.store.labels.read("train", "gold"), settings.shots))


FAMILY = Family("llm", PromptedSettings, build_prompted, fingerprint_prompted)
