"""Chat models: any OpenAI-compatible endpoint, local GGUF files, and the doubles that tests use."""

from tutelage.models.chat import ChatModel, Limits, Message, ModelSettings, Params, Reply
from tutelage.registry import Table

PROVIDERS = Table(
    "models",
    "provider",
    {
        "openai": "tutelage.models.openai:build_openai",
        "gguf": "tutelage.models.gguf:build_gguf",
    },
)
"""A row is a function from ModelSettings to a ChatModel."""

__all__ = ["PROVIDERS", "ChatModel", "Limits", "Message", "ModelSettings", "Params", "Reply"]
