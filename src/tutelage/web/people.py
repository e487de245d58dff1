"""Who sits before the page: a name, kept in a cookie of this browser."""

from __future__ import annotations

from urllib.parse import quote, unquote

from starlette.requests import Request
from starlette.responses import Response

from tutelage.errors import DataError
from tutelage.review.annotators import annotator_name

COOKIE = "tutelage_annotator"
YEAR = 365 * 24 * 3600


class Unnamed(Exception):
    """Nobody has said yet who they are."""


def who(request: Request) -> str | None:
    """The annotator's name; None where none is known, or one that may not review here."""
    try:
        return annotator_name(request.app.state.project, unquote(request.cookies.get(COOKIE, "")))
    except DataError:
        return None


def annotator(request: Request) -> str:
    """The annotator's name. Raises Unnamed, for which the page that asks for a name is shown."""
    found = who(request)
    if found is None:
        raise Unnamed
    return found


def remember(response: Response, name: str) -> None:
    response.set_cookie(COOKIE, quote(name), max_age=YEAR, path="/", httponly=True, samesite="strict")
