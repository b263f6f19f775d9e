"""A camera that sends JPEGs over HTTP or HTTPS, one after another, read with the standard library alone.

It tells no times: a picture's time is when it came. A camera's certificate must be one that the system trusts.
"""

import io
import os
import socket
import ssl
import time
from collections import deque
from http.client import HTTPException, HTTPResponse
from typing import Any, Final
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from drivers.http_auth import authorization
from drivers.multipart import Multipart
from drivers.packets import CameraError, Packet, Stream, shown

WAIT_S: Final = 5.0
"""For an answer, and for a whole picture, however the bytes of it drip."""
READ_BYTES: Final = 65536
REDIRECTS_MAX: Final = 3


class MjpegHttp:
    """An open camera. Raises CameraError."""

    def __init__(self, source: str) -> None:
        """source: http(s)://user:password@host:port/path; user and password percent-encoded."""
        self.stream = Stream("mjpeg")
        self._where = shown(source)
        self._pictures: deque[bytes] = deque()
        try:
            self._wire, self._response = _get(urlsplit(source))
            self._multipart = Multipart(_boundary(self._response))
        except (OSError, HTTPException, ValueError, CameraError) as error:
            raise CameraError(f"{self._where}: {_told(error)}") from None

    def read(self) -> Packet:
        """The next picture, unchecked. Raises CameraError when none is whole within WAIT_S."""
        self._wire.until_s = time.monotonic() + WAIT_S
        try:
            while not self._pictures:
                data = self._response.read1(READ_BYTES)
                if not data:
                    raise CameraError("the camera has ended the stream; it is opened again")
                self._pictures += self._multipart.feed(data)
        except (OSError, HTTPException, ValueError, CameraError) as error:
            raise CameraError(f"{self._where}: {_told(error)}") from None
        seen_s = time.monotonic()
        return Packet(self._pictures.popleft(), True, seen_s, seen_s, seen_s)

    def close(self) -> None:
        self._wire.close()


class _Wire(io.RawIOBase):
    """A connection whose reads all end at `until_s`, however the bytes drip. HTTPResponse takes it for a socket."""

    def __init__(self, url: SplitResult) -> None:
        self.until_s = time.monotonic() + WAIT_S
        host = url.hostname or ""
        self._socket = socket.create_connection((host, _port(url)), WAIT_S)
        if url.scheme == "https":
            try:
                self._socket = ssl.create_default_context().wrap_socket(self._socket, server_hostname=host)
            except OSError:
                self._socket.close()
                raise

    def sendall(self, data: bytes) -> None:
        self._socket.sendall(data)

    def makefile(self, *_: Any) -> io.BufferedReader:
        return io.BufferedReader(self, READ_BYTES)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left_s = self.until_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        self._socket.settimeout(left_s)
        return self._socket.recv_into(buffer)

    def close(self) -> None:
        self._socket.close()
        super().close()


def _get(url: SplitResult) -> tuple[_Wire, HTTPResponse]:
    """The answer 200 of the camera, after redirects and with its credentials where it asks for them.

    They are told to no other host, and not in the clear where the config says https. Raises OSError, HTTPException,
    ValueError (what came is no HTTP), CameraError.
    """
    first, answer, asked = url, None, False
    for _ in range(2 * REDIRECTS_MAX):
        wire = _Wire(url)
        try:
            path = (url.path or "/") + (f"?{url.query}" if url.query else "")
            wire.sendall(_request(url, path, answer))
            response = HTTPResponse(wire)  # type: ignore[arg-type]  # it only calls makefile
            response.begin()
        except (OSError, HTTPException):
            wire.close()
            raise
        if response.status == 200:
            return wire, response
        wire.close()
        answer = None
        if response.status == 401:
            if first.username is None:
                raise CameraError("the camera wants a user and a password; put them into the file of its credentials")
            if asked:
                raise CameraError("the camera refuses this user and password; check both")
            if url.hostname != first.hostname or (first.scheme, url.scheme) == ("https", "http"):
                raise CameraError("the camera sends us to another host, which wants a password: it is told to no other")
            asked = True
            challenges = response.headers.get_all("WWW-Authenticate", [])
            user, password = unquote(first.username), unquote(first.password or "")
            answer = authorization(challenges, user, password, "GET", path, os.urandom(8).hex())
            if answer is None:
                raise CameraError("the camera wants an authentication other than Basic or Digest (MD5, SHA-256)")
        elif response.status in (301, 302, 303, 307, 308):
            url, asked = urlsplit(urljoin(url.geturl(), response.headers.get("Location", ""))), False
            if url.scheme not in ("http", "https"):
                raise CameraError("the camera sends us to what is no http or https address")
        else:
            raise CameraError(f"the camera answers with HTTP status {response.status}; check the path of its address")
    raise CameraError("the camera sends us from one address to another without an end")


def _request(url: SplitResult, path: str, answer: str | None) -> bytes:
    host = url.netloc.rpartition("@")[2]
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}", "Accept: multipart/x-mixed-replace", "Connection: close"]
    if answer:
        lines.append(f"Authorization: {answer}")
    if " " in path or any(not " " <= sign <= "~" for line in lines for sign in line):
        raise CameraError("its address holds what no address may; write such signs as %XX")
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def _port(url: SplitResult) -> int:
    return url.port or (443 if url.scheme == "https" else 80)


def _boundary(response: HTTPResponse) -> bytes:
    """Raises CameraError: this is no stream of pictures."""
    kind, boundary = response.headers.get_content_type(), response.headers.get_boundary()
    if kind != "multipart/x-mixed-replace" or not boundary:
        response.close()
        raise CameraError(
            f"the camera answers {kind[:80]!r}, allowed is multipart/x-mixed-replace with a boundary;"
            " look up the address of its MJPEG stream"
        )
    return boundary.encode("ascii", "replace")


def _told(error: Exception) -> str:
    """What was found and what to do next."""
    match error:
        case TimeoutError():
            return f"nothing whole came within {WAIT_S:g} s; check that the camera has power and network"
        case socket.gaierror():
            return "no host of this name is known; check the address and the network's DNS"
        case ConnectionRefusedError():
            return "nobody listens there; check the port, and that the camera's HTTP is switched on"
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted ({error.verify_message}); add its CA to those of the system"
        case ssl.SSLError():
            return "no TLS is spoken there; check the port, or write http instead of https"
        case HTTPException() | ValueError():
            return "what answers is no HTTP, or ends in the middle; check the port"
        case OSError():
            return f"{error.strerror or 'the connection broke'}; check the camera's power and network"
    return str(error)
