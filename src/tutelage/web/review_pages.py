"""The pages on which labels are reviewed: one example, a table of many, conflicts between annotators, progress."""

from __future__ import annotations

import secrets
import time
from typing import Any
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from tutelage.errors import AnswerError, DataError, StaleDecision, TutelageError
from tutelage.review.annotators import annotator_name
from tutelage.review.deciding import Unusual, Word, tags_of, told
from tutelage.review.desk import AGAIN, SKIPPED, Desk
from tutelage.review.orders import FILE, ORDERS
from tutelage.review.shown import Shown
from tutelage.store import Decision, Purpose
from tutelage.tasks import Task
from tutelage.types import Value
from tutelage.web.editors import absent, answered, changed, editor, filled, segments, shown
from tutelage.web.forms import read_form
from tutelage.web.pages import page, wants_json
from tutelage.web.people import annotator, remember, who

LINKS = {"Review": "/review", "Table": "/table", "Conflicts": "/conflicts", "Progress": "/progress"}
ROWS = (10, 25, 50, 100)


def routes(desk: Desk, order: str = FILE) -> list[BaseRoute]:
    """The pages of `desk`, which begin in `order`."""
    pages = _Pages(desk, order)
    return [
        Route("/review", pages.begin),
        Route("/review/{id}", pages.one),
        Route("/review/{id}", pages.decide, methods=["POST"]),
        Route("/conflicts", pages.conflicts),
        Route("/conflicts/{id}", pages.conflict),
        Route("/conflicts/{id}", pages.settle, methods=["POST"]),
        Route("/undo", pages.undo, methods=["POST"]),
        Route("/table", pages.table),
        Route("/table", pages.accept, methods=["POST"]),
        Route("/progress", pages.progress),
    ]


class _Pages:
    """Handlers that are no coroutines run in threads, as the store makes them wait."""

    def __init__(self, desk: Desk, order: str) -> None:
        self.desk, self.task, self.order = desk, desk.project.task, order
        self.orders = [*ORDERS.rows(), SKIPPED]  # once: to look for those of other packages takes milliseconds

    def begin(self, request: Request) -> Response:
        """The next example of the order, or that there is none."""
        name, order = annotator(request), self._order(request.query_params.get("order"))
        try:
            address = self._next(name, order)
        except TutelageError as error:
            return self._nothing(request, name, order, str(error))
        return RedirectResponse(address, 303) if address else self._nothing(request, name, order)

    def one(self, request: Request) -> Response:
        name = annotator(request)
        return self._page(request, self._shown(request, name), self._order(request.query_params.get("order")))

    async def decide(self, request: Request) -> Response:
        return await run_in_threadpool(self._decide, request, await read_form(request), None)

    def conflicts(self, request: Request) -> Response:
        name, ids = annotator(request), self.desk.conflicts()
        rows = [self._row(one, "conflicts") for one in self.desk.show(ids[: ROWS[-1]], name, "conflict")]
        return page(request, "conflicts.html", {"rows": rows, "count": len(ids)})

    def conflict(self, request: Request) -> Response:
        name = annotator(request)
        return self._page(request, self._shown(request, name, "conflict"), self.order)

    async def settle(self, request: Request) -> Response:
        return await run_in_threadpool(self._decide, request, await read_form(request), "conflict")

    async def undo(self, request: Request) -> Response:
        return await run_in_threadpool(self._undo, request, await read_form(request))

    def table(self, request: Request) -> Response:
        query = request.query_params
        order, accepted = self._order(query.get("order")), query.get("accepted", "")
        status = f"{accepted} accepted." if accepted.isdecimal() else ""
        return self._table(request, order, _rows(query.get("rows")), status)

    async def accept(self, request: Request) -> Response:
        return await run_in_threadpool(self._accept, request, await read_form(request))

    def progress(self, request: Request) -> Response:
        annotator(request)
        return page(request, "progress.html", {"progress": self.desk.progress(), "split": self.desk.split})

    def _decide(self, request: Request, form: FormData, purpose: Purpose | None) -> Response:
        id, order = str(request.path_params["id"]), self._order(str(form.get("queue", "")))
        name = who(request)
        try:
            name = name or annotator_name(self.desk.project, str(form.get("annotator", "")))
            self.desk.decide(id, self._word(form, name, self._shown(request, name, purpose)), purpose)
        except (DataError, AnswerError, StaleDecision) as error:
            return self._refused(request, form, name, purpose, error)
        if purpose == "conflict":
            left = self.desk.conflicts()
            address = f"/conflicts/{left[0]}" if left else "/conflicts"
        else:
            address = self._next(name, order) or f"/review?{urlencode({'order': order})}"
        return _go(request, address, name)

    def _word(self, form: FormData, name: str, one: Shown) -> Word:
        verdict, value = str(form.get("verdict", "")), answered(self.task, form)
        if verdict == "accept" and not changed(self.task, _initial(one), form):
            value = None
        if take := str(form.get("take", "")):
            if take not in one.words:
                raise StaleDecision(f"{take} has taken the answer back. Load the page again.")
            verdict, value = "edit", one.words[take].value
        return Word(value=value, verdict=verdict, **_sent(form, self.desk, name))

    def _undo(self, request: Request, form: FormData) -> Response:
        name, order = annotator(request), self._order(str(form.get("queue", "")))
        sent = _sent(form, self.desk, name)
        target = self.desk.undo(Word(verdict="undo", **sent), str(form.get("undoes", "")))
        where = "conflicts" if target.purpose == "conflict" else "review"
        return _go(request, f"/{where}/{target.example_id}?{urlencode({'order': order})}", name)

    def _accept(self, request: Request, form: FormData) -> Response:
        """Accept rows of the table: `accept` is `checked`, `shown` (all) or one example's id."""
        name, order, what = annotator(request), self._order(str(form.get("queue", ""))), str(form.get("accept", ""))
        fields = {"checked": "row", "shown": "all"}
        ids = [str(one) for one in form.getlist(fields[what])] if what in fields else [what]
        words = {id: Word(verdict="accept", **_sent(form, self.desk, name, f".{id}")) for id in ids}
        done = self.desk.decide_all(words, name)
        refused = [str(one) for one in done if isinstance(one, TutelageError)]
        accepted = len(done) - len(refused)
        rows = _rows(str(form.get("rows", "")))
        if not refused and ids:
            query = {"order": order, "rows": rows, "accepted": accepted}
            return _go(request, f"/table?{urlencode(query)}", name)
        problems = refused or ["No row is checked. Check some, or accept all that are shown."]
        told = f"{accepted} accepted, {len(refused)} refused. " if ids else ""
        return self._table(request, order, rows, "", told + " ".join(dict.fromkeys(problems)))

    def _page(
        self, request: Request, one: Shown, order: str, form: FormData | None = None, error: TutelageError | None = None
    ) -> Response:
        """The page of an example; with `form` as it was filled, and why that was refused."""
        name = who(request)
        initial = _initial(one)
        context = {
            "one": one,
            "why": self.desk.why(order, one.example.id),
            "segments": segments(self.task, one.example.input, initial),
            "suggested": shown(self.task, one.suggestion.value) if one.suggestion else [],
            "absent": absent(self.task, one.example.input, one.suggestion.value) if one.suggestion else [],
            "words": [(who, label.status, shown(self.task, label.value)) for who, label in one.words.items()],
            "editor": editor(self.task, _form(self.task, initial) if form is None else form),
            "editing": one.suggestion is None or form is not None,
            "tags": self.desk.project.file.review.tags,
            "chosen": set(form.getlist("tag")) if form else set(one.own.tags if one.own else ()),
            "note": str(form.get("note", "")) if form else (one.own.note or "") if one.own else "",
            "anyway": isinstance(error, Unusual),
            "error": str(error) if error else None,
            "now": f"{time.time():.3f}",
            "done": told(one.own) if one.own else "",
            "instructions": self.task.instructions,
        }
        context |= self._strip(order, name)
        status = 200 if error is None else 409 if isinstance(error, StaleDecision) else 422
        return page(request, "review.html", context, status)

    def _refused(
        self, request: Request, form: FormData, name: str | None, purpose: Purpose | None, error: TutelageError
    ) -> Response:
        """Why it was refused, on the page as it was filled."""
        status = 409 if isinstance(error, StaleDecision) else 422
        if wants_json(request):
            return JSONResponse({"error": str(error), "anyway": isinstance(error, Unusual)}, status)
        return self._page(
            request, self._shown(request, name or "", purpose), self._order(str(form.get("queue", ""))), form, error
        )

    def _shown(self, request: Request, name: str, purpose: Purpose | None = None) -> Shown:
        id = str(request.path_params["id"])
        found = self.desk.show([id], name, purpose)
        if not found:
            raise DataError(f"There is no example {id!r} in {self.desk.split}. Go to the first page.")
        return found[0]

    def _next(self, name: str, order: str) -> str | None:
        found = self.desk.next(name, order)
        return f"/review/{found[0]}?{urlencode({'order': order})}" if found else None

    def _nothing(self, request: Request, name: str, order: str, error: str | None = None) -> Response:
        context: dict[str, Any] = {
            "error": error,
            "skipped": len(self.desk.skipped(name)),
            "conflicts": len(self.desk.conflicts()),
            "elsewhere": 0 if order in AGAIN else self.desk.elsewhere(),
        }
        return page(request, "done.html", context | self._strip(order, name), 422 if error else 200)

    def _table(self, request: Request, order: str, rows: int, status: str, error: str | None = None) -> Response:
        name = annotator(request)
        ids, problem = list[str](), error
        try:
            ids = self.desk.next(name, order, rows, single=True)
        except TutelageError as wrong:
            problem = str(wrong)
        drawn = [self._row(one, "review", order) for one in self.desk.show(ids, name)]
        if error is not None and wants_json(request):
            return JSONResponse({"error": error}, 422)
        context = {"rows": drawn, "count": rows, "counts": ROWS, "status": status, "error": problem}
        return page(request, "table.html", context | self._strip(order, name), 422 if problem else 200)

    def _row(self, one: Shown, where: str, order: str = "") -> dict[str, Any]:
        query = f"?{urlencode({'order': order})}" if order else ""
        return {
            "id": one.example.id,
            "address": f"/{where}/{one.example.id}{query}",
            "input": one.example.input,
            "suggestion": one.suggestion,
            "suggested": shown(self.task, one.suggestion.value) if one.suggestion else [],
            "words": [(who, label.status, shown(self.task, label.value)) for who, label in one.words.items()],
            "why": self.desk.why(order, one.example.id),
            "seen": one.seen or "",
            "key": one.suggestion.key if one.suggestion else "",
        }

    def _strip(self, order: str, name: str | None) -> dict[str, Any]:
        """What stands above and below every page of examples."""
        newest = self.desk.newest(name) if name else None
        return {
            "newest": newest,
            "newest_said": _last(self.task, newest),
            "progress": self.desk.progress(),
            "order": order,
            "orders": self.orders,
            "fresh": secrets.token_hex(16),
        }

    def _order(self, given: str | None) -> str:
        return given if given and given in self.orders else self.order


def _sent(form: FormData, desk: Desk, name: str, of: str = "") -> dict[str, Any]:
    """The fields that every word has; those of a row of the table end with `of`."""
    opened = str(form.get("opened", ""))
    try:
        seconds = None if of or not opened else time.time() - float(opened)
    except ValueError:
        seconds = None
    return {
        "id": str(form.get(f"id{of}", "")),
        "annotator": name,
        "queue": str(form.get("queue", ""))[:30],
        "shown": str(form.get(f"shown{of}", "")) or None,
        "seen": str(form.get(f"seen{of}", "")) or None,
        "tags": tags_of(desk.project, [str(tag) for tag in form.getlist("tag")]),
        "note": str(form.get("note", "")),
        "seconds": seconds,
        "anyway": bool(form.get("anyway")),
    }


def _initial(one: Shown) -> Value | None:
    """What stands in the form at first: what the annotator said, else what is suggested."""
    if one.own is not None and one.own.value is not None:
        return one.own.value
    return one.suggestion.value if one.suggestion else None


def _form(task: Task, value: Value | None) -> FormData:
    """The form as it is drawn for `value`."""
    fields: list[tuple[str, str | UploadFile]] = [*filled(task, value)]
    return FormData(fields)


def _go(request: Request, address: str, name: str) -> Response:
    response = RedirectResponse(address, 303)
    if who(request) is None:
        remember(response, name)
    return response


def _last(task: Task, decision: Decision | None, longest: int = 60) -> str:
    """The annotator's newest decision in a few words."""
    if decision is None:
        return ""
    lines = shown(task, decision.value if decision.value is not None else decision.suggestion)
    parts = [f"{name}: {', '.join(values)}" if name else ", ".join(values) for name, values in lines if values]
    text = "; ".join(parts)
    text = text if len(text) <= longest else text[: longest - 1] + "…"
    return f"{told(decision)}: {text}" if text else told(decision)


def _rows(given: str | None) -> int:
    return int(given) if given and given.isdecimal() and int(given) in ROWS else ROWS[1]
