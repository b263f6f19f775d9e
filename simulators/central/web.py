"""The operator page's server: files, a stream of changes, and the wishes that the page sends back."""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent.text import LANGUAGES, catalogue
from simulators.central.bench import Bench
from simulators.central.eye import LookError
from simulators.central.hub import NOTE_MAX, Hub, RefusedError
from simulators.central.looker import Looker

log = logging.getLogger("central")
PAGE = Path(__file__).with_name("page")
FILES = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/evidence.js": ("evidence.js", "text/javascript"),
}
BODY_BYTES_MAX = 16 * 1024
BEAT_S = 5.0  # the page takes 15 s without a word as a lost connection
BEHIND_MAX = 500  # changes that a slow page may be behind before it is sent everything anew
HEADERS = {
    b"content-security-policy": b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    b"img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-opener-policy": b"same-origin",
    b"cache-control": b"no-store",
}
LOCAL_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})


class Guard:
    """Only pages from here may ask or wish: a foreign site's page, or a foreign name for this address, is refused."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *HEADERS.items()]
            await send(message)

        request = Request(scope)
        host, origin = request.headers.get("host", ""), request.headers.get("origin")
        foreign = (
            _name(host) not in LOCAL_NAMES
            or (origin is not None and origin != f"{request.url.scheme}://{host}")
            or request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none")
        )
        if foreign:
            refusal = JSONResponse({"error": "page.error.foreign"}, status_code=403)
            await refusal(scope, receive, sealed)
            return
        await self._app(scope, receive, sealed)


def _name(host: str) -> str | None:
    """The name in a Host header; None for nonsense."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


class Stream:
    """The changes for one open page, handed over from the hub's thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: asyncio.Queue[tuple[str, dict[str, Any]]] = asyncio.Queue(BEHIND_MAX)
        self.behind = False

    def tell(self, kind: str, data: dict[str, Any]) -> None:
        """From the hub's thread; never waits."""
        with contextlib.suppress(RuntimeError):  # the server has stopped, and the page with it
            self._loop.call_soon_threadsafe(self._put, kind, data)

    def _put(self, kind: str, data: dict[str, Any]) -> None:
        try:
            self._waiting.put_nowait((kind, data))
        except asyncio.QueueFull:
            self.behind = True

    def forget(self) -> None:
        """Everything will be sent anew."""
        self.behind = False
        while not self._waiting.empty():
            self._waiting.get_nowait()

    async def next(self) -> tuple[str, dict[str, Any]]:
        """The next change, or a beat."""
        try:
            return await asyncio.wait_for(self._waiting.get(), BEAT_S)
        except TimeoutError:
            return "beat", {}


class Web:
    """The ASGI application."""

    def __init__(self, hub: Hub, bench: Bench | None, looker: Looker) -> None:
        self._hub, self._bench, self._looker = hub, bench, looker
        self._streams: set[Stream] = set()
        routes = [Route(path, self._file) for path in FILES]
        routes += [
            Route("/api/texts", self._texts),
            Route("/api/state", self._state),
            Route("/api/stream", self._stream),
            Route("/evidence/{site:str}/{box:str}/{case:str}/{sha256:str}/{what:str}", self._evidence),
            Route("/api/{verb:str}", self._command, methods=["POST"]),
        ]
        if bench is not None:
            routes.append(Route("/api/bench/{what:str}", self._bench_wish, methods=["POST"]))
        self.app = Starlette(routes=routes, middleware=[Middleware(Guard)])

    def close(self) -> None:
        """Ends the streams; to be called in the server's loop."""
        for stream in self._streams:
            stream.tell("bye", {})

    async def _file(self, request: Request) -> Response:
        name, media_type = FILES[request.url.path]
        return Response((PAGE / name).read_bytes(), media_type=media_type)

    async def _texts(self, _request: Request) -> Response:
        texts = {
            lang: {key: text[lang] for key, text in catalogue().items() if key.startswith("page.")}
            for lang in LANGUAGES
        }
        inputs = await run_in_threadpool(self._bench.inputs) if self._bench else None
        return JSONResponse({"texts": texts, "bench": inputs})

    async def _state(self, _request: Request) -> Response:
        state = await asyncio.wrap_future(self._hub.ask(self._hub.snapshot))
        return Response(json.dumps(state), media_type="application/json")

    async def _stream(self, _request: Request) -> Response:
        return StreamingResponse(self._tell(), media_type="text/event-stream")

    async def _tell(self) -> AsyncIterator[str]:
        stream = Stream()
        listener = stream.tell
        self._streams.add(stream)
        try:
            await asyncio.wrap_future(self._hub.ask(lambda: self._hub.listen(listener)))
            while True:
                kind, data = await stream.next()
                if kind == "bye":
                    return
                if stream.behind:
                    stream.forget()
                    kind, data = "snapshot", await asyncio.wrap_future(self._hub.ask(self._hub.snapshot))
                yield f"event: {kind}\ndata: {json.dumps(data)}\n\n"
        finally:
            self._streams.discard(stream)
            self._hub.ask(lambda: self._hub.leave(listener))

    async def _evidence(self, request: Request) -> Response:
        """Out of a whole file of a case on the desk: `thumb.jpg`, `first.jpg`, or all `pictures`: the length of a JSON
        object (4 bytes, big-endian), the object (`at_s` and `sizes` of the JPEGs), the JPEGs."""
        named = request.path_params
        box, case, sha256, what = f"{named['site']}/{named['box']}", named["case"], named["sha256"], named["what"]
        try:
            if what not in ("thumb.jpg", "first.jpg", "pictures"):
                raise RefusedError("page.error.unknown_file")
            path, file = await asyncio.wrap_future(self._hub.ask(lambda: self._hub.file(box, case, sha256)))
            look = await self._looker.look(path, file)
        except RefusedError as error:
            return JSONResponse({"error": str(error)}, status_code=404)
        except LookError as error:
            return JSONResponse({"error": f"page.evidence.error.{error}"}, status_code=422)
        if what != "pictures":
            return Response(look.thumb if what == "thumb.jpg" else look.jpegs[0], media_type="image/jpeg")
        head = json.dumps({"at_s": look.at_s, "sizes": [len(jpeg) for jpeg in look.jpegs]}).encode()
        body = b"".join([len(head).to_bytes(4, "big"), head, *look.jpegs])
        return Response(body, media_type="application/octet-stream")

    async def _command(self, request: Request) -> Response:
        try:
            wish = await _body(request)
            verb, box = request.path_params["verb"], wish.get("box", "")
            case, note = wish.get("case", ""), wish.get("note", "")
            if verb not in ("acknowledge", "close", "aside", "test") or not all(
                isinstance(v, str) for v in (box, case, note)
            ):
                raise RefusedError("page.error.bad_request")
            if len(note) > NOTE_MAX:
                raise RefusedError("page.error.note_long")
            data = {"what": "loop"} if verb == "test" else None
            sent = await asyncio.wrap_future(self._hub.ask(lambda: self._hub.send(verb, box, case, note, data)))
        except RefusedError as error:
            return JSONResponse({"error": str(error)}, status_code=409)
        return JSONResponse(sent)

    async def _bench_wish(self, request: Request) -> Response:
        assert self._bench is not None  # noqa: S101 - the route is there only with a bench
        bench = self._bench
        try:
            match request.path_params["what"], await _body(request):
                case "press", {"input": str(name), "down": bool(down)}:
                    act: Callable[[], None] = lambda: bench.press(name, down)  # noqa: E731
                case "scan", {"code": str(code)} if 0 < len(code) <= NOTE_MAX:
                    act = lambda: bench.scan(code)  # noqa: E731
                case "link", {"up": bool(up)}:
                    act = lambda: bench.set_link(up)  # noqa: E731
                case "power", {"on": bool(on)}:
                    act = lambda: bench.set_power(on)  # noqa: E731
                case _:
                    raise RefusedError("page.error.bad_request")
            await run_in_threadpool(act)
        except RefusedError as error:
            return JSONResponse({"error": str(error)}, status_code=409)
        except (KeyError, OSError) as error:
            log.warning("bench: %r", error)
            return JSONResponse({"error": "page.error.bench"}, status_code=409)
        return JSONResponse({})


async def _body(request: Request) -> dict[str, Any]:
    """A small JSON object; raises RefusedError."""
    if request.headers.get("content-type", "").split(";")[0] != "application/json":
        raise RefusedError("page.error.bad_request")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise RefusedError("page.error.bad_request")
    try:
        wish = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RefusedError("page.error.bad_request") from error
    if not isinstance(wish, dict):
        raise RefusedError("page.error.bad_request")
    return wish
