"""llama.cpp writing on after a prompt of tokens, and what stands around a text in it.

The prompt's tokens are those of training: a text is tokenised here, by the same tokenizer, between the tokens that stood
before and after it. What a text holds that looks like a mark of the chat template is text.
"""

from __future__ import annotations

import codecs
import http.client
import json
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from tokenizers import Tokenizer

from tutelage.embeddings.runtime import cores
from tutelage.errors import ModelError, StoreError
from tutelage.llamacpp import Server, check_gguf

GGUF = "model.gguf"
TIMEOUT = 600.0
"""Seconds for one answer."""


class Token(NamedTuple):
    """A written token and the natural logarithm of its probability."""

    text: str
    logprob: float


@dataclass(frozen=True)
class Prompt:
    """What stands around a text, as tokens, and how an answer is written.

    A text is cut to `room` tokens, an answer ends after `max_tokens`. `grammar` binds it; the tokens `blocked` are never
    written.
    """

    before: Sequence[int]
    after: Sequence[int]
    room: int
    max_tokens: int
    grammar: str | None = None
    blocked: Sequence[int] = ()

    def tokens(self, text: Sequence[int]) -> list[int]:
        return [*self.before, *text[: self.room], *self.after]

    @property
    def context(self) -> int:
        return len(self.before) + self.room + len(self.after) + self.max_tokens


class Written(NamedTuple):
    """What came after a prompt; `whole` says that it was not cut at the most tokens."""

    text: str
    tokens: list[Token]
    ids: list[int]
    whole: bool


class Llama:
    """The model in `folder`, which answers to `prompt`. llama.cpp starts at the first answer and ends with this object."""

    def __init__(self, folder: Path, prompt: Prompt, threads: int | None = None) -> None:
        self.folder, self.prompt, self.threads = folder, prompt, threads
        check_gguf(folder / GGUF)
        self._lock = threading.Lock()
        self._server: Server | None = None
        self._leave: Callable[[], object] = lambda: None
        self._connection: http.client.HTTPConnection | None = None

    def write(self, prompt: Sequence[int], *, most: int, grammar: str | None = None) -> Written:
        """At most `most` tokens after those of `prompt`, the likeliest at each place. Raises ModelError."""
        body = {
            "prompt": list(prompt),
            "n_predict": most,
            "temperature": 0.0,
            "n_probs": 1,
            "logit_bias": [[token, False] for token in self.prompt.blocked],
            # The same answer whatever was asked before: a kept prefix changes the last digits.
            "cache_prompt": False,
        }
        found = self._ask(body | ({"grammar": grammar} if grammar else {}))
        listed = found.get("completion_probabilities") or []
        return Written(
            str(found["content"]),
            _spelled(listed),
            [int(one["id"]) for one in listed],
            found.get("stop_type") != "limit",
        )

    def close(self) -> None:
        """Stop llama.cpp; it starts again when it is needed."""
        self._leave()
        self._server = self._connection = None

    def _ask(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """What llama.cpp answers; a server that has gone, or a connection that it closed, is replaced once."""
        with self._lock:
            try:
                status, found = self._asked(body)
            except (OSError, http.client.HTTPException, ValueError):
                self.close()
                try:
                    status, found = self._asked(body)
                except (OSError, http.client.HTTPException, ValueError) as error:
                    self.close()
                    raise ModelError(f"llama.cpp does not answer for {self.folder / GGUF}: {error!r}.") from error
        if status != 200:
            said = found.get("error", {}).get("message", found)
            raise ModelError(f"llama.cpp refuses a prompt for {self.folder / GGUF}: {said}")
        return found

    def _asked(self, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        connection = self._connected()
        connection.request("POST", "/completion", json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, dict(json.loads(answer.read()))

    def _connected(self) -> http.client.HTTPConnection:
        if self._server is None or self._connection is None:
            server = Server.join(self.folder / GGUF, self.prompt.context, self.threads or cores())
            self._server, self._leave = server, weakref.finalize(self, server.leave)
            host = server.address.partition("://")[2]
            self._connection = http.client.HTTPConnection(host, timeout=TIMEOUT)
        return self._connection


def plain_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer at `path`, which neither cuts nor pads, and takes marks in a text for text. Raises StoreError."""
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises bare Exceptions
        raise StoreError(f"The tokenizer {path} cannot be read: {error}. Train it again.") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True
    return tokenizer


def _spelled(listed: Sequence[Mapping[str, Any]]) -> list[Token]:
    """The text of each token; of a character that is split over tokens the last one bears the whole."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    return [Token(decoder.decode(bytes(one["bytes"])), float(one["logprob"])) for one in listed]
