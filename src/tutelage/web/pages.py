"""Making pages of templates; whatever stands in a text is shown as text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from tutelage.web.people import who

TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("tutelage.web"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters["share"] = lambda value: "" if value is None else f"{value:.0%}"
TEMPLATES.filters["plain_json"] = lambda value: json.dumps(value, ensure_ascii=False)


def page(request: Request, template: str, context: Mapping[str, Any], status: int = 200) -> HTMLResponse:
    """The page of `template`, which extends base.html; it also knows the project, the annotator and the pages there are."""
    state = request.app.state
    known = {"project": state.project.file.name, "links": state.links, "path": request.url.path, "who": who(request)}
    return HTMLResponse(TEMPLATES.get_template(template).render({**known, **context}), status)


def problem(request: Request, message: str, status: int) -> Response:
    """What went wrong: to the script of a page as {"error": ...}, else as a page."""
    if wants_json(request):
        return JSONResponse({"error": message}, status)
    return page(request, "problem.html", {"message": message}, status)


def wants_json(request: Request) -> bool:
    """Whether the script of a page asks, which keeps the page and shows what is wrong there."""
    return "application/json" in request.headers.get("accept", "")
