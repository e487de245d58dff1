"""Chat models: any OpenAI-compatible endpoint, other vendors through their library, local models, and doubles for tests."""

from tutelage.models.chat import ChatModel, Limits, Message, ModelSettings, Params, Reply
from tutelage.registry import Table

PROVIDERS = Table(
    "models",
    "provider",
    {
        "openai": "tutelage.models.openai:build_openai",
        "gguf": "tutelage.models.gguf:build_gguf",
        "transformers": "tutelage.models.local:build_transformers",
        "any-llm": "tutelage.models.anyllm:build_anyllm",
    },
)
"""A row is a function from ModelSettings to a ChatModel."""

__all__ = ["PROVIDERS", "ChatModel", "Limits", "Message", "ModelSettings", "Params", "Reply"]
