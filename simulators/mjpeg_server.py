"""A camera's web server: a stream of JPEGs (multipart/x-mixed-replace) for as many clients as ask."""

import base64
import hashlib
import hmac
import queue
import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal, Self
from urllib.request import parse_http_list, parse_keqv_list

AHEAD_PICTURES = 64  # that a client may be behind; then it loses the next ones
SEND_TIMEOUT_S = 60.0
REALM = "camera"
PAGE = b"<!DOCTYPE html><html><title>Camera</title><body><h1>Log in</h1><form><input name=user></form></body></html>"

Auth = Literal["basic", "digest"]


class MjpegServer:
    """Serves what `publish` is given, on 127.0.0.1, at any path; every method may be called from any thread.

    credentials: (name, password) that a client must show, by RFC 7617 (basic) or RFC 7616 with MD5 (digest).
    html: answers every request with an HTML page instead, as a camera does that wants to be logged in to.
    Raises OSError when no port is left.
    """

    def __init__(
        self, credentials: tuple[str, str] | None = None, auth: Auth = "digest", *, html: bool = False
    ) -> None:
        self.credentials, self.auth, self.html = credentials, auth, html
        self.nonce = secrets.token_hex(16)
        self.lock = threading.Lock()
        self.clients: set[queue.Queue[bytes]] = set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="mjpeg", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def publish(self, jpeg: bytes, pts_s: float) -> None:
        """The next picture for every client, as a part that says its length and the camera's time (X-Timestamp)."""
        head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\nX-Timestamp: {pts_s:.6f}\r\n\r\n"
        part = head.encode() + jpeg + b"\r\n"
        with self.lock:
            for client in self.clients:
                if not client.full():  # only this thread puts
                    client.put(part)

    def close(self) -> None:
        """No new connections; those that stand end with this process, or when their client goes."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(server: Self) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - `self` is the request's
        class Handler(BaseHTTPRequestHandler):
            timeout = SEND_TIMEOUT_S

            def do_GET(self) -> None:
                if server.html:
                    self._answer(200, "text/html", PAGE)
                elif not server.admits(self.command, self.path, self.headers.get("Authorization", "")):
                    self._answer(401, "text/plain", b"Unauthorized\n")
                else:
                    self._stream()

            def _answer(self, code: int, media_type: str, body: bytes) -> None:
                self.send_response(code)
                if code == 401:
                    self.send_header("WWW-Authenticate", server.challenge())
                self.send_header("Content-Type", media_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def _stream(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.send_header("Cache-Control", "no-store")
                self.end_headers()
                waiting: queue.Queue[bytes] = queue.Queue(AHEAD_PICTURES)
                with server.lock:
                    server.clients.add(waiting)
                try:
                    while True:
                        self.wfile.write(waiting.get())
                except OSError:  # the client has gone, or was cut off
                    self.close_connection = True
                finally:
                    with server.lock:
                        server.clients.discard(waiting)

            def log_message(self, format: str, *args: object) -> None:
                """Says nothing: stdout is for answers."""

        return Handler

    def challenge(self) -> str:
        if self.auth == "basic":
            return f'Basic realm="{REALM}"'
        return f'Digest realm="{REALM}", qop="auth", algorithm=MD5, nonce="{self.nonce}"'

    def admits(self, method: str, path: str, shown: str) -> bool:
        """Whether the value of the Authorization header is right for this request."""
        if self.credentials is None:
            return True
        name, password = self.credentials
        scheme, _, rest = shown.partition(" ")
        if scheme.lower() != self.auth:
            return False
        if self.auth == "basic":
            return hmac.compare_digest(rest.encode(), base64.b64encode(f"{name}:{password}".encode()))
        told = parse_keqv_list([pair for pair in parse_http_list(rest) if "=" in pair])
        if (told.get("username"), told.get("nonce"), told.get("uri")) != (name, self.nonce, path):
            return False
        middle = [told.get(key, "") for key in ("nc", "cnonce", "qop")] if "qop" in told else []
        wanted = _md5(_md5(name, REALM, password), self.nonce, *middle, _md5(method, path))
        return hmac.compare_digest(wanted, told.get("response", ""))


def _md5(*parts: str) -> str:
    return hashlib.md5(":".join(parts).encode(), usedforsecurity=False).hexdigest()
