"""Pages on which people compare answers blind: two side by side, or several with a score each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from tutelage.errors import DataError
from tutelage.review.differing import side_by_side
from tutelage.review.preferring import MOST, Preferring, Question
from tutelage.web.forms import read_form
from tutelage.web.pages import page
from tutelage.web.people import annotator

BETTER: dict[str, tuple[float, float]] = {"1": (1.0, 0.0), "2": (0.0, 1.0), "tie": (0.5, 0.5)}
LONGEST = 24 * 3600.0
"""Seconds on one question that are believed; a page that was left open for longer says nothing about the work."""


def address(desk: Preferring) -> str:
    return "/compare" if desk.kind == "pair" else "/rank"


def routes(desk: Preferring) -> list[Route]:
    """The page that asks, where its answers go, and where they are taken back."""
    at, template = address(desk), "compare.html" if desk.kind == "pair" else "rank.html"

    async def ask(request: Request) -> Response:
        name, given = annotator(request), request.query_params
        context = await run_in_threadpool(_context, desk, name, given.get("at", ""), given.get("after", ""))
        return page(request, template, {**context, "address": at})

    async def answer(request: Request) -> Response:
        name, form = annotator(request), await read_form(request)
        example, id = str(form.get("example", "")), str(form.get("id", ""))
        said = _scores(desk, form), str(form.get("note", "")), _seconds(form)
        await run_in_threadpool(desk.answer, name, example, id, *said)
        return RedirectResponse(f"{at}?after={example}", 303)

    async def undo(request: Request) -> Response:
        name, form = annotator(request), await read_form(request)
        example = await run_in_threadpool(desk.undo, name, str(form.get("id", "")))
        return RedirectResponse(f"{at}?at={example}", 303)

    return [Route(at, ask), Route(at, answer, methods=["POST"]), Route(f"{at}/undo", undo, methods=["POST"])]


def _context(desk: Preferring, name: str, at: str, after: str) -> dict[str, Any]:
    """What the page shows; nothing of it tells which candidate answered what."""
    question = desk.next(name, at, after)
    found: dict[str, Any] = {
        "question": question,
        "standing": desk.standing(name),
        "instructions": desk.project.task.instructions,
        "scores": range(1, MOST + 1),
    }
    return found if question is None else {**found, **_asked(desk, question)}


def _asked(desk: Preferring, question: Question) -> dict[str, Any]:
    task, given = desk.project.task, question.example.input
    return {
        "input": [(name, given[name]) for name in task.fields],
        "answers": side_by_side(task, [shown.value for shown in question.answers]),
    }


def _scores(desk: Preferring, form: FormData) -> Sequence[float]:
    if desk.kind == "pair":
        better = str(form.get("better", ""))
        if better not in BETTER:
            raise DataError(
                f"Say which answer is better: {', '.join(BETTER)}, found {better!r:.40}. Nothing was stored."
            )
        return BETTER[better]
    given = [str(form.get(f"score-{number}", "")) for number in range(1, len(form) + 1) if f"score-{number}" in form]
    if not all(one.isascii() and one.isdigit() and len(one) == 1 for one in given):
        raise DataError(
            f"A score is a whole number from 1 to {MOST}, found {', '.join(given)!r:.80}. Nothing was stored."
        )
    return [float(one) for one in given]


def _seconds(form: FormData) -> float | None:
    try:
        seconds = float(str(form.get("seconds", "")))
    except ValueError:
        return None
    return round(seconds, 1) if math.isfinite(seconds) and 0 <= seconds <= LONGEST else None
