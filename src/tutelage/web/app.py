"""The application: the pages of its modules behind one guard, one name of the annotator, one way to say what went wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from tutelage.errors import AnswerError, DataError, StaleDecision, StoreError, TutelageError
from tutelage.project import Project
from tutelage.review.annotators import annotator_name
from tutelage.web.forms import read_form
from tutelage.web.guard import Guard
from tutelage.web.pages import page, problem
from tutelage.web.people import Unnamed, remember, who

HOSTS = ["127.0.0.1", "localhost"]
STATUS: Mapping[type[TutelageError], int] = {StaleDecision: 409, StoreError: 503, DataError: 422, AnswerError: 422}


def make_app(project: Project, routes: Sequence[BaseRoute], links: Mapping[str, str]) -> Starlette:
    """The pages at `routes` (each module's `routes(...)`); `links` are the addresses of the head of every page by their names,
    the first one is where people begin."""
    app = Starlette(
        routes=[
            Route("/", _begin),
            Route("/name", _name),
            Route("/name", _named, methods=["POST"]),
            Mount("/static", StaticFiles(packages=[("tutelage.web", "static")])),
            *routes,
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS), Middleware(Guard)],
        exception_handlers={TutelageError: _failed, Unnamed: _unnamed, HTTPException: _no_page},
    )
    app.state.project, app.state.links = project, dict(links)
    return app


async def _begin(request: Request) -> Response:
    return RedirectResponse(next(iter(request.app.state.links.values())), 303)


async def _name(request: Request) -> Response:
    return _ask(request, who(request) or "", request.query_params.get("next", "/"))


async def _named(request: Request) -> Response:
    form = await read_form(request)
    given, to = str(form.get("name", "")), str(form.get("next", "/"))
    try:
        name = annotator_name(request.app.state.project, given)
    except DataError as error:
        return _ask(request, given, to, str(error))
    response = RedirectResponse(_own(to), 303)
    remember(response, name)
    return response


def _ask(request: Request, given: str, to: str, error: str | None = None) -> Response:
    known = request.app.state.project.file.review.annotators
    context = {"given": given, "next": _own(to), "error": error, "annotators": known}
    return page(request, "name.html", context, 422 if error else 200)


def _own(path: str) -> str:
    """`path` where it leads to a page of ours, else the first page."""
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) else "/"


async def _unnamed(request: Request, error: Exception) -> Response:
    if request.method == "GET":
        query = f"?{request.url.query}" if request.url.query else ""
        return _ask(request, "", request.url.path + query)
    return problem(request, "An annotator needs a name. Say who you are, then send it again. Nothing was stored.", 401)


async def _failed(request: Request, error: Exception) -> Response:
    status = next((status for kind, status in STATUS.items() if isinstance(error, kind)), 400)
    return await run_in_threadpool(problem, request, str(error), status)


async def _no_page(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    told = f"There is no page at {request.url.path}." if error.status_code == 404 else error.detail
    return problem(request, told, error.status_code)
