"""What keeps other sites out of the pages, and the pages from doing what they need not."""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",  # with no-referrer, browsers would not say of a form where it comes from
    "X-Content-Type-Options": "nosniff",
}
READING = ("GET", "HEAD")


class Guard:
    """Refuses what another site sends through the browser of somebody who has a page open."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                if not scope["path"].startswith("/static/"):
                    headers["Cache-Control"] = "no-store"
            await send(message)

        if scope["method"] not in READING and _foreign(Headers(scope=scope)):
            refused = PlainTextResponse("Refused: this was sent from another site. Nothing was stored.", 403)
            await refused(scope, receive, guarded)
            return
        await self.app(scope, receive, guarded)


def _foreign(headers: Headers) -> bool:
    """Whether the request was made by a page of another origin. Programs that are no browser say nothing of it."""
    origin = headers.get("origin")
    if origin is not None:
        return origin != f"http://{headers.get('host')}"
    return headers.get("sec-fetch-site", "none") not in ("same-origin", "none")
