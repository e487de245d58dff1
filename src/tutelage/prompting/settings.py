"""Settings of a prompted model: what task.toml may say under a candidate of family `prompted`."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import Field

from tutelage.models.chat import Dialect, Structured
from tutelage.prompting.selectors import ShotOptions

Signal: TypeAlias = Literal["mean_probability", "min_probability", "verbalised"]
"""The raw confidences that one answer of one model can have."""

Share: TypeAlias = Annotated[float, Field(gt=0, le=1)]


@dataclass(frozen=True)
class PromptedSettings:
    """A candidate of family `prompted` in task.toml. `model` is a name, or a path for providers that run files.

    `timeout` in seconds holds for each attempt; `context`, in tokens, and `threads` are for local models; `repairs` is
    how often an answer that does not fit is asked for again in the same conversation, `tries` how many conversations
    are begun at most until one ends well. `shots` is the number of solved examples in the prompt, `shot_tokens` what
    they may take together, `base` the sentence encoder of the selectors that need one. Empty values are what the
    provider thinks fit. With `top_logprobs` (output `label`; 20 is the most that endpoints give) the answers tell how
    probable each label was that the model considered.
    """

    model: str
    provider: str = "openai"
    base_url: str | None = None
    api_key_env: str = "OPENAI_API_KEY"
    dialect: Dialect = "openai"
    structured: Structured = "schema"
    pattern: str | None = None
    system: str | None = None
    user: str | None = None
    shots: Annotated[int, Field(ge=0)] = 0
    selector: str = "fixed"
    shot_tokens: Annotated[int | None, Field(ge=1)] = None
    base: str | None = None
    temperature: Annotated[float, Field(ge=0)] = 0.0
    top_p: Share | None = None
    top_k: Annotated[int | None, Field(ge=1)] = None
    min_p: Annotated[float | None, Field(ge=0, le=1)] = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    max_tokens: Annotated[int, Field(ge=1)] = 512
    tries: Annotated[int, Field(ge=1)] = 1
    repairs: Annotated[int, Field(ge=0)] = 1
    concurrency: Annotated[int | None, Field(ge=1)] = None
    max_retries: Annotated[int, Field(ge=0)] = 4
    timeout: Annotated[float | None, Field(gt=0)] = None
    context: Annotated[int | None, Field(ge=128)] = None
    threads: Annotated[int | None, Field(ge=1)] = None
    logprobs: bool = True
    top_logprobs: Annotated[int, Field(ge=0, le=20)] = 0
    verbalised: bool = False
    reasoning: bool = False
    confidence: Signal = "mean_probability"

    @property
    def hosted(self) -> bool:
        """Whether somebody else's machine answers: any endpoint that is not on this one."""
        host = urlsplit(self.base_url or "https://api.openai.com").hostname
        return self.provider in ("openai", "any-llm") and host not in ("127.0.0.1", "localhost", "::1")

    @property
    def shot_options(self) -> ShotOptions:
        return ShotOptions(selector=self.selector, shots=self.shots, shot_tokens=self.shot_tokens, seed=self.seed or 0)

    def facts(self) -> dict[str, Any]:
        """The settings as fingerprints know them: one that came later counts where it is set, so that the stored answers of
        candidates without it stay theirs."""
        told = {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if field.name in _FROM_THE_FIRST or getattr(self, field.name) != field.default
        }
        return told | {"context": self.context or 4096}

    def unusual(self) -> dict[str, Any]:
        """The settings that shape answers and are not at their defaults, for versions."""
        return {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if field.name in _SHAPING and getattr(self, field.name) != field.default
        }


_SHAPING = frozenset(
    {"pattern", "top_p", "top_k", "min_p", "stop", "seed", "tries", "verbalised", "reasoning", "top_logprobs"}
)
"""Settings that change answers, besides those that every version counts (see `prompt_version`) and the prompt itself."""

_FROM_THE_FIRST = frozenset(
    [
        "model",
        "provider",
        "base_url",
        "api_key_env",
        "structured",
        "temperature",
        "max_tokens",
        "concurrency",
        "repairs",
        "max_retries",
        "timeout",
        "context",
        "threads",
        "shots",
        "logprobs",
    ]
)
