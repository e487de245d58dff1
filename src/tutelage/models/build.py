"""A chat model by its provider's name, at the pace that its endpoint allows."""

from __future__ import annotations

from collections.abc import Sequence

from tutelage.models import PROVIDERS
from tutelage.models.chat import ChatModel, ModelSettings
from tutelage.models.rates import Pace, Paced

DEFAULT_ENDPOINTS = {"openai": "https://api.openai.com/v1"}


def build_model(provider: str, settings: ModelSettings, paces: Sequence[Pace] = ()) -> ChatModel:
    """The model, ready to ask, which waits for all `paces` (see `Project.paces`).

    Raises UnknownName for a provider that does not exist, and what the provider raises.
    """
    model: ChatModel = PROVIDERS.load(provider)(settings)
    for pace in paces:
        model = Paced(model, pace)
    return model


def endpoints(provider: str, base_url: str | None, model: str) -> list[str]:
    """The names under which `[limits]` may speak of a model: its endpoint's, its vendor's, its own, with or without vendor."""
    endpoint = base_url or DEFAULT_ENDPOINTS.get(provider)
    vendor, _, bare = model.partition(":") if provider == "any-llm" else (None, None, None)
    return [name.rstrip("/") for name in (endpoint, vendor, model, bare) if name]
