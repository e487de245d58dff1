"""The semantic cache: questions that mean the same are answered once, and how often that is wrong stays within a budget.

cache = open_semantic(settings.cache, path, folder)
found = await cache.lookup("titles", text, scope)
if isinstance(found, Hit): ...                       # found.entry.body
else: await cache.learn(found.token, entry, value)   # after asking the model

Until some hundreds of answers have been compared nothing is given (`evidence`): that is the price of the budget.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from tutelage.embeddings.encoder import Encoder
from tutelage.embeddings.stored import stored_encoder
from tutelage.gateway.cache.alike import Hit, Miss, Question, SemanticStats, Token
from tutelage.gateway.cache.canonical import request_key
from tutelage.gateway.cache.checks import Words, difference, read_words
from tutelage.gateway.cache.entry import Entry, pack
from tutelage.gateway.cache.kept import Kept, Memory
from tutelage.gateway.cache.rule import Rule, last_user_text
from tutelage.gateway.settings import Cache as CacheSettings
from tutelage.store.semantic import ObservationRow, QuestionRow, SemanticFile

_T = TypeVar("_T")

NEAREST = 8
"""Kept questions that are looked at: the nearest often differs in a name, and a farther one does not."""

FARTHEST = 0.5
"""Cosine below which questions are taken for different, and not compared."""

LONGEST = 4000
"""Characters of the longest question: vectors of long texts say little."""


def same_text(a: str, b: str) -> bool:
    """Equal but for case, spaces and the full stop at the end."""
    return _plain(a) == _plain(b)


def _plain(text: str) -> str:
    return " ".join(text.casefold().split()).rstrip(".!")


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What may be put in another's place: how answers are compared, which questions differ whatever their vectors say, the
    seed of what is asked again, and the clock."""

    same: Callable[[str, str], bool] = same_text
    difference: Callable[[Words, Words], str | None] = difference
    seed: int = 0
    clock: Callable[[], float] = time.time


def open_semantic(
    settings: CacheSettings, path: Callable[[str], Path], folder: Path, choices: Choices | None = None
) -> SemanticCache | None:
    """The semantic cache of `settings`, or None where there is none. Its file is `folder`/semantic.db.

    `path` finds the encoder's folder. Raises TrainingError when the encoder cannot be used, MissingPackage where it must be
    exported and there is no torch, StoreError when `folder` cannot be written.
    """
    if settings.semantic is None:
        return None
    encoder = stored_encoder(settings.semantic.encoder, path, folder / "encoders", threads=1)
    return SemanticCache(settings, encoder, SemanticFile(folder / "semantic.db", encoder.identity), choices)


class SemanticCache:
    """For one event loop; vectors, search and files are the work of one thread. `file` None: nothing outlives the process."""

    def __init__(
        self, settings: CacheSettings, encoder: Encoder, file: SemanticFile | None, choices: Choices | None = None
    ) -> None:
        assert settings.semantic is not None
        self._settings, self._semantic, self._encoder = settings, settings.semantic, encoder
        self._choices = choices or Choices()
        self._rule = Rule(settings.never, sampled=settings.sampled)
        self._memory = Memory(self._semantic.size, self._semantic.error_budget, file, self._choices.clock)
        self._random = random.Random(self._choices.seed)
        self._thread = ThreadPoolExecutor(1, "semantic-cache")
        self._stats = SemanticStats()

    @property
    def stats(self) -> SemanticStats:
        self._stats.reasked, self._stats.reasked_wrong = self._memory.reasked, self._memory.reasked_wrong
        return self._stats

    def question(self, body: Mapping[str, Any], scope: str, *, pure: bool = False) -> Question | None:
        """The question in a chat request, or None where none is kept: another model, no text at the end, too long, or by
        the rule. `scope` and `pure` as in `Cache.key`; the scope returned holds the system prompt and earlier messages too."""
        model, messages = body.get("model"), body.get("messages")
        if model not in self._semantic.models or not isinstance(messages, list) or not messages:
            return None
        last = messages[-1]
        if not isinstance(last, Mapping) or last.get("role") != "user" or not _text_only(last.get("content")):
            return None
        text = last_user_text(body)
        if not text.strip() or len(text) > LONGEST or self._rule.refuses(body, pure=pure):
            return None
        rest = request_key({**body, "messages": messages[:-1]}, scope)
        return None if rest is None else Question(str(model), text, rest)

    async def lookup(self, model: str, text: str, scope: str = "") -> Hit | Miss:
        """A kept answer to a question that means the same, of the same model and scope; else a Miss, whose token and the
        model's answer go to `learn`."""
        return await self._run(partial(self._look, model, text, scope))

    async def learn(self, token: Token, entry: Entry, value: str) -> None:
        """Keep the model's answer, and observe whether the kept one was right. `value` is what answers are compared by: a
        task's canonical value, the text of others."""
        kept, right = self._memory.kept.get(token.candidate or 0), None
        if kept is not None:
            same = self._choices.same
            # Another comparison may ask a judge, which takes its time.
            right = same(kept.value, value) if same is same_text else await asyncio.to_thread(same, kept.value, value)
        await self._run(partial(self._learn, token, entry, value, right))

    async def close(self) -> None:
        await self._run(self._memory.close)
        self._thread.shutdown(wait=False)

    async def _run(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _look(self, model: str, text: str, scope: str) -> Hit | Miss:
        vector = self._encoder.encode([text])[0]
        token, words, why = Token(model, scope, text, vector), read_words(text), "new"
        for similarity, kept in self._memory.near(model, scope, vector, NEAREST):
            if kept.text == text:
                self._stats.equal += 1
                return self._hit(kept, token._replace(candidate=kept.number, similarity=1.0))
            if similarity < FARTHEST:
                break
            if reason := self._choices.difference(words, kept.words):
                why = reason if why == "new" else why
                continue
            token = token._replace(candidate=kept.number, similarity=similarity)
            return self._decide(kept, token)
        if why == "new":
            self._stats.new += 1
        else:
            self._stats.refused[why] += 1
        return Miss(token, why)

    def _decide(self, kept: Kept, token: Token) -> Hit | Miss:
        if not self._memory.evidence(token.model).allows(token.similarity, kept.own):
            self._stats.explored += 1
            return Miss(token, "unproved")
        if self._random.random() < self._semantic.reask:
            return Miss(token._replace(reasked=True), "reasked")
        return self._hit(kept, token)

    def _hit(self, kept: Kept, token: Token) -> Hit:
        kept.used = self._choices.clock()
        self._stats.hits += 1
        return Hit(kept.entry, kept.text, token.similarity, token)

    def _learn(self, token: Token, entry: Entry, value: str, right: bool | None) -> None:
        if right is not None and token.candidate is not None:
            self._memory.observe(
                ObservationRow(
                    model=token.model,
                    question=token.candidate,
                    similarity=token.similarity,
                    right=right,
                    reasked=token.reasked,
                )
            )
        if not right:  # as in vCache: a question whose answer is kept already needs no place of its own
            question = QuestionRow(
                model=token.model,
                scope=token.scope,
                text=token.text,
                vector=token.vector.tobytes(),
                packed=pack(entry),
                value=value,
                expires=self._choices.clock() + self._settings.ttl,
            )
            self._memory.add(question, token.vector)


def _text_only(content: object) -> bool:
    """Whether a message is text, all of it: what is in a picture has no vector here."""
    if isinstance(content, list):
        return all(isinstance(part, Mapping) and part.get("type") == "text" for part in content)
    return isinstance(content, str)
