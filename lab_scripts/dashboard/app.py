"""The dashboard's server: a page, a WebSocket that passes on what runs tell, and reports, for who has the token."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.requests import HTTPConnection

from lab_scripts.dashboard.references import References
from lab_scripts.dashboard.watch import AbortRefused, LiveRun, Watch
from lab_scripts.exits import FileError
from lab_scripts.report.page import report_page
from lab_scripts.run_store import summaries

PAGE = Path(__file__).parent / "page"
POLL_S = 0.02
"""Files are looked into this often: a page that draws thirty times a second waits for nothing else."""
LISTED = 200
"""Finished runs that the page lists, the newest."""
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_REPORT_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; sandbox"
)
"""A report has its style and its pictures in itself, and no script."""


def build(watch: Watch, token: str) -> FastAPI:
    """The dashboard of the runs that are watched, for who shows `token`."""
    news = _News()
    references = References(watch.folder)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        watching = asyncio.create_task(_watch(watch, news))
        yield
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching

    app = FastAPI(lifespan=lifespan, openapi_url=None)

    def may_look(asking: HTTPConnection) -> bool:
        return hmac.compare_digest(asking.cookies.get(_cookie(asking), "").encode(), token.encode())

    @app.middleware("http")
    async def headers(request: Request, call_next: Any) -> Response:
        response = await call_next(request)
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    @app.post("/session")
    async def session(request: Request) -> Response:
        shown = (await request.body())[:1024].decode(errors="replace")
        if not (_same_origin(request) and hmac.compare_digest(shown.encode(), token.encode())):
            return JSONResponse({"error": "the token is wrong"}, status_code=403)
        response = Response(status_code=204)
        response.set_cookie(_cookie(request), token, httponly=True, samesite="strict")
        return response

    @app.get("/report/{name}")
    def report(request: Request, name: str) -> Response:
        if not may_look(request):
            return JSONResponse({"error": "open the dashboard first: it asks for the token"}, status_code=403)
        path = watch.folder / name
        if path.name != name or path.suffix != ".nc":
            return JSONResponse({"error": "there is no such run"}, status_code=404)
        try:
            return HTMLResponse(report_page(path), headers={"Content-Security-Policy": _REPORT_POLICY})
        except FileError as error:
            return JSONResponse({"error": str(error)}, status_code=404)

    @app.get("/reference")
    def reference(request: Request, action: str) -> Response:
        if not may_look(request):
            return JSONResponse({"error": "open the dashboard first: it asks for the token"}, status_code=403)
        rows = references.of(action)
        return Response(status_code=204) if rows is None else JSONResponse(rows)

    @app.websocket("/live")
    async def live(socket: WebSocket) -> None:
        if not (_same_origin(socket) and may_look(socket)):
            # Accepted first, so that the page learns why: a refused handshake tells it nothing.
            await socket.accept()
            await socket.close(4403, "the token is missing or wrong")
            return
        await socket.accept()
        page = _Page(socket, watch, news)
        with suppress(WebSocketDisconnect):
            await page.serve()

    # Last: whatever is not above is a file of the page.
    app.mount("/", StaticFiles(directory=PAGE, html=True))
    return app


def _cookie(asking: HTTPConnection) -> str:
    # Cookies know no ports: two dashboards on one machine must not share one.
    return f"xbar-{asking.url.port}"


def _same_origin(asking: HTTPConnection) -> bool:
    return urlsplit(asking.headers.get("origin", "")).netloc == asking.headers.get("host")


class _News:
    """Wakes all pages."""

    def __init__(self) -> None:
        self.finished = ""
        self.problem = ""
        self._event = asyncio.Event()

    def spread(self) -> None:
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self) -> None:
        await self._event.wait()


async def _watch(watch: Watch, news: _News) -> None:
    listed = -1
    while True:
        new = False
        try:
            new = watch.poll()
            if watch.folder_changes != listed:
                listed = watch.folder_changes
                found = await asyncio.to_thread(summaries, watch.folder)
                found = sorted(found, key=lambda run: run.mtime_ns, reverse=True)[:LISTED]
                runs = [
                    {"name": r.name, "created": r.created, "command": r.command, "size": r.size, "problem": r.problem}
                    for r in found
                ]
                news.finished = json.dumps({"kind": "finished", "runs": runs})
                new = True
            problem = ""
        except (OSError, FileError) as error:
            problem = f"{watch.folder}: {error}"
            await asyncio.sleep(1.0)
        if new or problem != news.problem:
            news.problem = problem
            news.spread()
        await asyncio.sleep(POLL_S)


class _Page:
    """One page: it says which run it follows, and up to which line it has it."""

    def __init__(self, socket: WebSocket, watch: Watch, news: _News) -> None:
        self._socket, self._watch, self._news = socket, watch, news
        self._followed: LiveRun | None = None
        self._sent = 0
        self._told: dict[str, str] = {}

    async def serve(self) -> None:
        listening = asyncio.create_task(self._listen())
        try:
            while not listening.done():
                await self._send_news()
                waiting = asyncio.create_task(self._news.wait())
                await asyncio.wait({waiting, listening}, return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
            listening.result()
        finally:
            listening.cancel()

    async def _listen(self) -> None:
        while True:
            asked = await self._socket.receive_json()
            run = self._watch.run(str(asked.get("run")))
            if "follow" in asked:
                self._followed, self._sent = run, max(0, int(asked["follow"]))
                self._told.pop("journal", None)
                self._news.spread()
            elif asked.get("abort") is True:
                await self._abort(run, str(asked.get("run")))

    async def _abort(self, run: LiveRun | None, run_id: str) -> None:
        try:
            if run is None:
                raise AbortRefused("the command has ended already")
            run.abort()
            answer = ""
        except AbortRefused as error:
            answer = str(error)
        await self._socket.send_json({"kind": "abort", "run": run_id, "refused": answer})

    async def _send_news(self) -> None:
        await self._tell_text("finished", self._news.finished)
        await self._tell("runs", {
            "kind": "runs", "problem": self._news.problem, "folder": str(self._watch.folder),
            "live": [
                {"id": r.id, "run": r.out.name, "command": r.begin["command"], "ended": r.ended}
                for r in self._watch.runs if r.begin
            ],
        })  # fmt: skip
        run = self._followed
        if run is None:
            return
        if len(run.lines) > self._sent:
            lines, first = run.lines[self._sent :], self._sent
            self._sent = len(run.lines)
            # Lines are passed on as they were written: nothing is parsed here.
            head = json.dumps({"kind": "lines", "run": run.id, "first": first})
            await self._socket.send_text(f'{head[:-1]}, "lines": [{",".join(lines)}]}}')
        await self._tell("journal", {"kind": "journal", "run": run.id, "boards": run.journal_tail()})

    async def _tell(self, what: str, message: dict[str, Any]) -> None:
        await self._tell_text(what, json.dumps(message))

    async def _tell_text(self, what: str, text: str) -> None:
        """Send it if it is not what was sent last."""
        if text and self._told.get(what) != text:
            self._told[what] = text
            await self._socket.send_text(text)
