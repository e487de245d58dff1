"""How the next token is chosen by a transformers model: bound by a grammar, sampled from a seed, its probability kept.

Sampling is by the Gumbel maximum: the largest of logits plus Gumbel noise is a draw from their softmax (Gumbel 1954), so
that "greedy" generation samples, from a generator of our own: the same seed gives the same answer whatever else draws.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence

import llguidance
import numpy as np
import torch
from transformers import LogitsProcessor, LogitsProcessorList, StoppingCriteria
from transformers.generation import MinPLogitsWarper, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from tutelage.errors import ModelError
from tutelage.models.chat import Params

CPU = torch.device("cpu")


class Recorder(LogitsProcessor):  # type: ignore[misc]
    """Keeps the model's own log probability of every token that is chosen, before a grammar or a temperature shapes it."""

    def __init__(self) -> None:
        self._chosen: list[float] = []
        self._last: torch.Tensor | None = None

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self._keep(int(input_ids[0, -1]))
        self._last = torch.log_softmax(scores[0].float(), dim=-1)
        return scores

    def logprobs(self, last: int) -> list[float]:
        """One for each generated token, of which `last` is the last. To be called once, at the end."""
        self._keep(last)
        return self._chosen

    def _keep(self, token: int) -> None:
        if self._last is not None:
            self._chosen.append(float(self._last[token]))


class Bound(LogitsProcessor):  # type: ignore[misc]
    """Lets only tokens through that a grammar of llguidance allows, then only one of `ends`.

    Raises ModelError when the grammar cannot go on, which a grammar that was checked beforehand does not meet.
    """

    def __init__(self, tokenizer: llguidance.LLTokenizer, grammar: str, ends: Iterable[int]) -> None:
        self._matcher = llguidance.LLMatcher(tokenizer, grammar, log_level=0)
        self._ends = list(ends)
        self._started = False

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if self._started and not self._matcher.is_stopped():
            self._matcher.consume_token(int(input_ids[0, -1]))
        self._started = True
        allowed = torch.zeros(scores.shape[-1], dtype=torch.bool)
        if self._matcher.is_error():
            raise ModelError(f"The grammar of the answer cannot go on: {self._matcher.get_error().splitlines()[0]}")
        if self._matcher.is_stopped():
            allowed[self._ends] = True
        else:
            bits = np.unpackbits(np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8), bitorder="little")
            size = min(len(bits), len(allowed))
            allowed[:size] = torch.from_numpy(bits[:size].astype(bool))
        return scores.masked_fill(~allowed.to(scores.device), -torch.inf)


class Gumbel(LogitsProcessor):  # type: ignore[misc]
    """Adds Gumbel noise: with it, the largest score is a random draw from the softmax of the scores."""

    def __init__(self, seed: int | None) -> None:
        self._generator = torch.Generator(CPU)
        if seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(seed)

    def __call__(self, _input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        uniform = torch.rand(scores.shape, generator=self._generator, dtype=torch.float64)
        noise = -torch.log(-torch.log(uniform.clamp(1e-300, 1 - 1e-16)))
        return scores.double() + noise.to(scores.device)


class Ended(StoppingCriteria):  # type: ignore[misc]
    """Ends when the generated text has one of `stop` in it, or when nobody waits any more."""

    def __init__(
        self, text: Callable[[Sequence[int]], str], start: int, stop: Sequence[str], left: threading.Event
    ) -> None:
        self._text, self._start, self._stop, self._left = text, start, stop, left

    def __call__(self, input_ids: torch.Tensor, _scores: object, **_: object) -> torch.Tensor:
        done = self._left.is_set()
        if self._stop and not done:
            text = self._text(input_ids[0, self._start :].tolist())
            done = any(stop in text for stop in self._stop)
        return torch.full((input_ids.shape[0],), done, device=input_ids.device)


def processors(params: Params, recorder: Recorder | None, bound: Bound | None) -> LogitsProcessorList:
    """What `params` says about choosing tokens, in the order in which it acts."""
    chosen: list[LogitsProcessor] = [one for one in (recorder, bound) if one is not None]
    if params.temperature > 0:
        chosen.append(TemperatureLogitsWarper(params.temperature))
        if params.top_k:
            chosen.append(TopKLogitsWarper(params.top_k))
        if params.top_p is not None and params.top_p < 1:
            chosen.append(TopPLogitsWarper(params.top_p))
        if params.min_p:
            chosen.append(MinPLogitsWarper(params.min_p))
        chosen.append(Gumbel(params.seed))
    return LogitsProcessorList(chosen)
