"""What a form sends."""

from __future__ import annotations

from urllib.parse import parse_qsl

from starlette.datastructures import FormData
from starlette.requests import Request

from tutelage.errors import DataError

LARGEST = 4_000_000
"""Bytes of a form: a text and an answer, or many rows."""
MOST_FIELDS = 10_000


async def read_form(request: Request) -> FormData:
    """The fields of a form, several of a name too. Raises DataError for what is no form or too large."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > LARGEST:
            raise DataError(f"The form has more than {LARGEST:,} bytes. Shorten what you typed. Nothing was stored.")
    try:
        fields = parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict")
    except ValueError as error:
        raise DataError(f"The form cannot be read: {error}. Load the page again. Nothing was stored.") from None
    return FormData([(name, value.replace("\r\n", "\n")) for name, value in fields])
