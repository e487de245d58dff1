"""Batches: files of requests that an OpenAI-compatible endpoint answers within a day, for less, through the official client.

A request is the very body of a live call, and an answer is read as a live one is. Every batch carries our key in its metadata,
by which it is found again when the answer that named it was lost.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import openai
from openai.pagination import AsyncCursorPage
from openai.types import Batch as Found
from openai.types import FileObject
from openai.types.chat import ChatCompletion

from tutelage.errors import ModelError
from tutelage.models.chat import ChatModel, Message, NoAnswer, Params, Reply
from tutelage.models.failures import line, said
from tutelage.models.openai import OpenAIChat
from tutelage.models.prices import batch_price, cost
from tutelage.models.rates import Paced
from tutelage.models.replies import malformed, usage_of

T = TypeVar("T")

MAX_REQUESTS = 50_000
MAX_BYTES = 100_000_000
"""What one batch may hold; OpenAI takes files of 200 MB, others of 100."""

KEY = "tutelage_key"
"""The entry of the metadata that holds our key."""

ENDED = frozenset({"completed", "expired", "failed", "cancelled"})
NOT_ANSWERED = frozenset({"batch_expired", "batch_cancelled"})
"""Codes of requests that a batch ended without having asked."""

UPLOAD_SECONDS = 600.0
CREATE_SECONDS = 60.0
CLOCKS = 86_400.0
"""Seconds by which the endpoint's clock may be wrong when a batch is looked for by its age."""


class Uncertain(ModelError):
    """It is not known whether the endpoint made the batch that it was asked for."""


class UnknownBatch(ModelError):
    """The endpoint knows nothing of a batch, or of its answers."""


@dataclass(frozen=True)
class Batch:
    """A batch as its endpoint tells of it. `done` of its requests have been answered or have failed; `files` hold what came
    of them, `problem` says why all of it failed."""

    id: str
    status: str
    done: int = 0
    files: tuple[str, ...] = ()
    problem: str = ""

    @property
    def ended(self) -> bool:
        return self.status in ENDED


@dataclass(frozen=True)
class Row:
    """What came of the request `id`: the body of a response and its HTTP status, or an error without one (status 0)."""

    id: str
    status: int
    body: Mapping[str, Any]

    @property
    def answered(self) -> bool:
        return bool(self.status) or self.body.get("code") not in NOT_ANSWERED

    @property
    def billed(self) -> bool:
        """Whether the endpoint says how many tokens the answer took."""
        return bool(self.body.get("usage"))


class Batches:
    """The batch API of the endpoint of `chat`. Everything raises ModelError in one line."""

    def __init__(self, chat: OpenAIChat) -> None:
        self._chat = chat
        self.endpoint = chat.endpoint
        self.price = batch_price(chat.settings.price)

    async def check(self) -> None:
        """Raises ModelError where the endpoint has no batch API, or lets us in not."""
        await self._page(self._chat.client.batches.list(limit=1))

    def line(self, id: str, messages: Sequence[Message], params: Params) -> bytes:
        """The line of a file that asks what a live call would."""
        body = self._chat.request(messages, params)
        asked = {"custom_id": id, "method": "POST", "url": "/v1/chat/completions", "body": body}
        return json.dumps(asked, separators=(",", ":")).encode() + b"\n"

    async def upload(self, lines: Sequence[bytes], key: str) -> str:
        """The endpoint's name for the file."""
        client = self._chat.client.with_options(timeout=UPLOAD_SECONDS)
        file = (f"tutelage-{key}.jsonl", b"".join(lines), "application/jsonl")
        found = await self._asked(client.files.create(file=file, purpose="batch"))
        if not isinstance(found, FileObject):
            raise self._none(f"found {line(str(found), 60)!r}")
        return found.id

    async def create(self, file: str, key: str) -> Batch:
        """The batch of a file. Never asked twice: raises Uncertain where the endpoint may have made it all the same."""
        client = self._chat.client.with_options(max_retries=0, timeout=CREATE_SECONDS)
        try:
            found = await client.batches.create(
                input_file_id=file,
                endpoint="/v1/chat/completions",
                completion_window="24h",
                metadata={KEY: key},
            )
        except (openai.APIConnectionError, openai.InternalServerError) as error:
            raise Uncertain(str(self._chat.who.explained(error))) from error
        except openai.OpenAIError as error:
            raise self._explained(error) from error
        except ValueError as error:
            raise Uncertain(f"{self.endpoint} sent what is no batch ({line(str(error), 60)}).") from error
        if not isinstance(found, Found) or not found.id:
            raise Uncertain(f"{self.endpoint} sent what is no batch ({line(str(found), 60)}).")
        return _batch(found)

    async def find(self, key: str, age: float) -> Batch | None:
        """The batch that bears our `key`, begun `age` seconds ago; None when the endpoint has none."""
        page = await self._page(self._chat.client.batches.list(limit=100))
        oldest = time.time() - age - CLOCKS
        while True:
            for found in page.data:
                if (found.metadata or {}).get(KEY) == key:
                    return _batch(found)
                if found.created_at < oldest:
                    return None
            if not page.has_next_page():
                return None
            page = await self._page(page.get_next_page())

    async def read(self, id: str) -> Batch:
        """How far the batch is. Raises UnknownBatch."""
        found = await self._asked(self._chat.client.batches.retrieve(id), id)
        if not isinstance(found, Found):
            raise ModelError(f"{self.endpoint} sent what is no batch ({line(str(found), 60)}).", retryable=True)
        return _batch(found)

    async def cancel(self, id: str) -> None:
        await self._asked(self._chat.client.batches.cancel(id), id)

    async def rows(self, batch: Batch) -> AsyncIterator[Row]:
        """What came of the requests, in any order. Raises UnknownBatch for files that are gone."""
        for file in batch.files:
            content = (await self._asked(self._chat.client.files.content(file), batch.id)).content
            for text in content.splitlines():
                if text.strip():
                    yield self._row(text)

    def came(self, row: Row, messages: Sequence[Message], params: Params) -> Reply | ModelError:
        """What `row` answers to a request with `params`, at the price of batches; `messages` matter where it is not `billed`."""
        if row.status != 200:
            error = row.body.get("error", row.body)
            given = error if isinstance(error, Mapping) else {"message": error}
            message = str(given.get("message") or given.get("code") or "it gave no reason")
            if not row.status:
                return ModelError(f"{self.endpoint} did not answer this request of the batch: {line(message)}.")
            return self._chat.who.status(row.status, given.get("code"), message, line(message))
        completion = ChatCompletion.construct(**row.body)
        if problem := malformed(completion):
            return ModelError(f"{self.endpoint} sent what is no chat completion ({line(problem)}).")
        usage = usage_of(completion, messages)
        try:
            return self._chat.reply(completion, params, replace(usage, dollars=cost(self.price, usage)))
        except NoAnswer as error:
            return error

    def _row(self, text: bytes) -> Row:
        try:
            found = json.loads(text)
            response = found.get("response")
            if response:
                body = response.get("body")
                body = body if isinstance(body, dict) else {"message": str(body)}
                return Row(found["custom_id"], int(response["status_code"]), body)
            return Row(found["custom_id"], 0, found.get("error") or {})
        except (ValueError, KeyError, TypeError, AttributeError):
            shown = line(text[:200].decode("utf-8", "replace"), 60)
            raise ModelError(
                f"{self.endpoint} sent answers that cannot be read ({shown!r}). Run it again later."
            ) from None

    async def _page(self, call: Awaitable[AsyncCursorPage[Found]]) -> AsyncCursorPage[Found]:
        page = await self._asked(call)
        if not isinstance(page, AsyncCursorPage) or not isinstance(page.data, list):
            raise self._none(f"found {line(str(page), 60)!r}")
        return page

    async def _asked(self, call: Awaitable[T], batch: str | None = None) -> T:
        """What `call`, about `batch` if it is about one, brings."""
        try:
            return await call
        except openai.OpenAIError as error:
            raise self._explained(error, batch) from error
        except ValueError as error:  # a body that is not JSON
            raise self._none(line(str(error), 60)) from error

    def _explained(self, error: openai.OpenAIError, batch: str | None = None) -> ModelError:
        if isinstance(error, openai.APIStatusError) and error.status_code in (404, 405, 501):
            if batch is None:
                return self._none(said(error))
            return UnknownBatch(
                f"{self.endpoint} does not know the batch {batch} or its answers ({said(error)}). Use the key with which it was "
                "submitted."
            )
        return self._chat.who.explained(error)

    def _none(self, why: str) -> ModelError:
        return ModelError(f"{self.endpoint} has no batch API ({why}). Leave out --batch.", fatal=True)


def batches_of(model: ChatModel) -> Batches:
    """The batch API of the endpoint that runs `model`. Raises ModelError for a provider without one."""
    while isinstance(model, Paced):
        model = model.model
    if not isinstance(model, OpenAIChat):
        raise ModelError(
            f'{model.name!r} is of a provider without a batch API; only provider = "openai" has one. Leave out --batch.',
            fatal=True,
        )
    return Batches(model)


def _batch(found: Found) -> Batch:
    counts = found.request_counts
    done = ((counts.completed or 0) + (counts.failed or 0)) if counts else 0
    files = tuple(file for file in (found.output_file_id, found.error_file_id) if file)
    errors = (found.errors.data if found.errors else None) or []
    said_of = [f"line {error.line}: {error.message}" if error.line else f"{error.message}" for error in errors[:2]]
    problem = "; ".join(map(line, said_of))
    return Batch(found.id, found.status, done, files, problem)
