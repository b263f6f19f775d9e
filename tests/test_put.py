"""The PUT of one file over real sockets: what goes, what is said of what goes wrong, and that it ends."""

import fcntl
import socket
import ssl
import struct
import termios
import threading
import tracemalloc
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import pytest
import trustme
from put_server import DEADLINE_S, PutServer, Putting, Request, Script, reset, takes

from agent import put
from agent.media_mail import PutDone

SMALL, LARGE = bytes(range(256)) * 400, b"\xa5" * 8_000_000
"""100 KB; and more than the buffers of a kernel hold on both sides."""


def stored(folder: Path, data: bytes) -> str:
    name = sha256(data).hexdigest()
    (folder / name).write_bytes(data)
    return name


@pytest.fixture
def small(tmp_path: Path) -> str:
    return stored(tmp_path, SMALL)


@pytest.fixture
def large(tmp_path: Path) -> str:
    return stored(tmp_path, LARGE)


# ---- what goes


def test_a_file_goes_whole_with_the_headers_that_are_needed_and_none_more(tmp_path: Path, small: str) -> None:
    with PutServer(takes()) as server:
        assert Putting(tmp_path, small, server.url).done() == PutDone(small)
        (request,) = server.requests
    head = "PUT /bucket/x?X-Amz-Signature=secret HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Length: 102400\r\n\r\n"
    assert request.head == (head % server.port).encode()
    assert request.body == SMALL


@pytest.mark.parametrize("status", ["200 OK", "201 Created", "204 No Content"])
def test_each_of_the_answers_that_servers_give_to_a_put_is_success(tmp_path: Path, small: str, status: str) -> None:
    with PutServer(takes(status)) as server:
        assert Putting(tmp_path, small, server.url).done() == PutDone(small)


def test_a_word_before_the_answer_is_no_answer(tmp_path: Path, small: str) -> None:
    with PutServer(takes("100 Continue\r\n\r\nHTTP/1.1 500 Broken")) as server:
        assert "HTTP status 500" in Putting(tmp_path, small, server.url).done().reason


def test_a_large_file_is_never_in_memory_whole(tmp_path: Path, large: str) -> None:
    def swallow(wire: socket.socket, request: Request) -> None:
        left, buffer = request.size - len(request.body), bytearray(65_536)
        while left and (got := wire.recv_into(buffer)):
            left -= got
        wire.sendall(b"HTTP/1.1 200 OK\r\n\r\n")

    with PutServer(swallow) as server:
        tracemalloc.start()
        try:
            assert Putting(tmp_path, large, server.url).done() == PutDone(large)
            assert tracemalloc.get_traced_memory()[1] < len(LARGE) / 4
        finally:
            tracemalloc.stop()


# ---- TLS


@pytest.fixture
def ca(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """A CA that is one of the system's."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    return ca


def over_tls(script: Script, cert: trustme.LeafCert) -> PutServer:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    cert.configure_cert(context)
    return PutServer(script, context)


def test_a_file_goes_over_tls(tmp_path: Path, small: str, ca: trustme.CA) -> None:
    """TLS 1.3 sends tickets of its own before the file is there; they are no answer."""
    with over_tls(takes(), ca.issue_cert("localhost")) as server:
        assert Putting(tmp_path, small, server.url).done() == PutDone(small)
        assert server.requests[0].body == SMALL


@pytest.mark.parametrize(("issuer", "host"), [("other", "localhost"), ("ours", "other.example")])
def test_a_receiver_with_a_wrong_certificate_gets_nothing(
    tmp_path: Path, small: str, ca: trustme.CA, issuer: str, host: str
) -> None:
    with over_tls(takes(), (ca if issuer == "ours" else trustme.CA()).issue_cert(host)) as server:
        done = Putting(tmp_path, small, server.url).done()
        assert "its certificate is not trusted" in done.reason and "add its CA to those of the system" in done.reason
        assert server.requests == []


def test_an_answer_before_the_file_is_there_is_heard_over_tls_too(tmp_path: Path, large: str, ca: trustme.CA) -> None:
    over = threading.Event()
    with over_tls(early(b"HTTP/1.1 413 Too Large\r\n\r\n", over), ca.issue_cert("localhost")) as server:
        assert "HTTP status 413" in Putting(tmp_path, large, server.url).done().reason
        over.set()


def test_a_port_without_tls_is_told(tmp_path: Path, small: str) -> None:
    with PutServer(takes()) as server:
        reason = Putting(tmp_path, small, server.url.replace("http://", "https://")).done().reason
    assert "TLS failed" in reason


# ---- what is refused


def test_a_redirect_is_not_followed(tmp_path: Path, small: str) -> None:
    with PutServer(takes()) as elsewhere:
        with PutServer(takes(f"307 Temporary Redirect\r\nLocation: {elsewhere.url}")) as server:
            done = Putting(tmp_path, small, server.url).done()
            assert "HTTP status 307" in done.reason and "not followed" in done.reason
        assert elsewhere.requests == []


def test_a_refused_address_is_told_apart_from_a_receiver_that_fails(tmp_path: Path, small: str) -> None:
    with PutServer(takes("403 Forbidden")) as server:
        done = Putting(tmp_path, small, server.url).done()
        assert done.expired and f"127.0.0.1:{server.port} answers with HTTP status 403" in done.reason
    for status in ("400 Bad Request", "500 Internal Server Error", "503 Slow Down"):
        with PutServer(takes(status)) as server:
            done = Putting(tmp_path, small, server.url).done()
            assert not done.expired and not done.gone and f"HTTP status {status[:3]}" in done.reason


def early(answer: bytes, over: threading.Event) -> Script:
    """Says something at once, and reads nothing of the file."""

    def script(wire: socket.socket, request: Request) -> None:
        wire.sendall(answer)
        over.wait(DEADLINE_S)

    return script


def test_an_answer_before_the_file_is_there_ends_the_put(tmp_path: Path, large: str) -> None:
    over = threading.Event()
    with PutServer(early(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n", over)) as server:
        assert "HTTP status 413" in Putting(tmp_path, large, server.url).done().reason
        assert len(server.requests[0].body) < len(LARGE)
        over.set()


def test_a_receiver_that_answers_and_hangs_up_is_heard(tmp_path: Path, large: str) -> None:
    def script(wire: socket.socket, request: Request) -> None:
        wire.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        wire.shutdown(socket.SHUT_WR)

    with PutServer(script) as server:
        done = Putting(tmp_path, large, server.url).done()
    assert done.expired


def test_a_success_before_the_file_is_there_is_none(tmp_path: Path, large: str) -> None:
    over = threading.Event()
    with PutServer(early(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", over)) as server:
        assert "before it had the whole file" in Putting(tmp_path, large, server.url).done().reason
        over.set()


# ---- what breaks


def test_a_receiver_that_stalls_in_the_middle_is_given_up(
    tmp_path: Path, large: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(put, "PIECE_S", 0.2)
    over = threading.Event()
    with PutServer(early(b"", over)) as server:
        assert "in time" in Putting(tmp_path, large, server.url).done().reason
        over.set()


def test_a_receiver_that_never_answers_is_given_up(tmp_path: Path, small: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(put, "ANSWER_S", 0.2)
    over = threading.Event()

    def script(wire: socket.socket, request: Request) -> None:
        request.read(request.size)
        over.wait(DEADLINE_S)

    with PutServer(script) as server:
        assert "in time" in Putting(tmp_path, small, server.url).done().reason
        over.set()


def test_an_answer_that_drips_has_an_end_too(tmp_path: Path, small: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(put, "ANSWER_S", 0.3)
    over = threading.Event()

    def script(wire: socket.socket, request: Request) -> None:
        request.read(request.size)
        wire.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        while not over.wait(0.02):
            wire.sendall(b"x")

    with PutServer(script) as server:
        assert "in time" in Putting(tmp_path, small, server.url).done().reason
        over.set()


def test_a_reset_in_the_middle_is_told(tmp_path: Path, large: str) -> None:
    def script(wire: socket.socket, request: Request) -> None:
        request.read(100_000)
        reset(wire)

    with PutServer(script) as server:
        done = Putting(tmp_path, large, server.url).done()
    assert "it hung up in the middle" in done.reason and not done.gone and not done.expired


def test_a_receiver_that_hangs_up_without_a_word_is_told(tmp_path: Path, small: str) -> None:
    with PutServer(lambda _, request: request.read(request.size)) as server:
        assert "it hung up in the middle" in Putting(tmp_path, small, server.url).done().reason


def test_what_answers_something_else_than_http_is_told(tmp_path: Path, small: str) -> None:
    with PutServer(lambda wire, _: wire.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")) as server:
        done = Putting(tmp_path, small, server.url).done()
    assert "no HTTP" in done.reason or "it hung up" in done.reason


def test_a_port_where_nobody_listens_is_told(tmp_path: Path, small: str) -> None:
    with PutServer(takes()) as server:
        pass
    assert "nobody listens there" in Putting(tmp_path, small, server.url).done().reason


def test_a_port_that_is_none_is_told(tmp_path: Path, small: str) -> None:
    assert Putting(tmp_path, small, "http://127.0.0.1:99999/bucket/x?secret").done().reason


# ---- the file


def test_a_file_that_was_changed_never_becomes_an_object(tmp_path: Path, small: str) -> None:
    (tmp_path / small).write_bytes(b"x" + SMALL[1:])
    with PutServer(takes()) as server:
        done = Putting(tmp_path, small, server.url).done()
        assert done == PutDone(small, "its bytes were changed on the disk", gone=True)
        assert server.ended.wait(DEADLINE_S)
        assert len(server.requests[0].body) < server.requests[0].size


@pytest.mark.parametrize("data", [b"", SMALL[:-1], SMALL + b"x"], ids=["empty", "shorter", "longer"])
def test_a_file_with_another_size_is_a_changed_one(tmp_path: Path, small: str, data: bytes) -> None:
    (tmp_path / small).write_bytes(data)
    with PutServer(takes()) as server:
        assert Putting(tmp_path, small, server.url).done().gone


def test_a_file_that_shrinks_meanwhile_never_becomes_an_object(tmp_path: Path, large: str) -> None:
    def script(wire: socket.socket, request: Request) -> None:
        (tmp_path / large).write_bytes(b"")
        request.read(request.size)

    with PutServer(script) as server:
        assert Putting(tmp_path, large, server.url).done().gone


def test_a_file_that_is_gone_is_told_and_nobody_called(tmp_path: Path) -> None:
    with PutServer(takes()) as server:
        done = Putting(tmp_path, "c0" * 32, server.url).done()
        assert done == PutDone("c0" * 32, "the file is not there", gone=True)
        assert server.requests == []


def test_a_file_that_cannot_be_opened_is_no_lost_one(tmp_path: Path) -> None:
    (tmp_path / ("c0" * 32)).mkdir()
    done = Putting(tmp_path, "c0" * 32, "http://127.0.0.1:9/x?secret").done()
    assert done.reason and not done.gone


# ---- pauses, rate, end


def test_a_put_pauses_while_it_is_held_and_then_goes_on(tmp_path: Path, large: str) -> None:
    came, held, paused = threading.Event(), threading.Event(), threading.Event()
    bytes_then = []

    def script(wire: socket.socket, request: Request) -> None:
        request.read(100_000)
        came.set()
        held.wait(DEADLINE_S)
        request.read_until_quiet(0.3)
        bytes_then.append(len(request.body))
        paused.set()
        takes()(wire, request)

    with PutServer(script) as server:
        putting = Putting(tmp_path, large, server.url)
        assert came.wait(DEADLINE_S)
        putting.put.hold(True)
        held.set()
        assert paused.wait(DEADLINE_S)
        assert 100_000 <= bytes_then[0] < 1_000_000, "what was on its way arrives, and nothing more"
        putting.put.hold(False)
        assert putting.done() == PutDone(large)
        assert server.requests[0].body == LARGE


def test_the_end_of_the_box_ends_a_put_that_the_receiver_blocks_within_a_second(tmp_path: Path, large: str) -> None:
    blocked, over = threading.Event(), threading.Event()

    def script(wire: socket.socket, request: Request) -> None:
        before = 0
        while (waiting := unread(wire)) == 0 or waiting != before:
            before = waiting
            over.wait(0.2)
        blocked.set()
        over.wait(DEADLINE_S)

    with PutServer(script) as server:
        putting = Putting(tmp_path, large, server.url)
        assert blocked.wait(DEADLINE_S)
        putting.put.close()
        assert putting.put.join(1.0)
        assert putting.done() == PutDone(large, "the box ends")
        over.set()


def unread(wire: socket.socket) -> int:
    """Bytes that have come and that nobody has read."""
    (size,) = struct.unpack("i", fcntl.ioctl(wire, termios.FIONREAD, bytes(4)))
    return int(size)


def test_the_end_of_the_box_ends_a_put_that_is_held_within_a_second(tmp_path: Path, large: str) -> None:
    quiet, over = threading.Event(), threading.Event()

    def script(wire: socket.socket, request: Request) -> None:
        request.read_until_quiet(0.3)
        quiet.set()
        over.wait(DEADLINE_S)

    with PutServer(script) as server:
        putting = Putting(tmp_path, large, server.url)
        putting.put.hold(True)
        assert quiet.wait(DEADLINE_S)
        putting.put.close()
        assert putting.put.join(1.0)
        assert putting.done() == PutDone(large, "the box ends")
        over.set()


def test_files_are_sent_no_faster_than_the_config_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """16 kbit/s are 2,000 bytes a second: pieces of half a second, each waiting until the one before is paid."""
    waits: list[float] = []

    class Event(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            if timeout is not None:
                waits.append(timeout)
            return super().wait(None if timeout is None else 0)

    monkeypatch.setattr(put, "threading", SimpleNamespace(Event=Event))
    monkeypatch.setattr(put, "time", SimpleNamespace(monotonic=lambda: 100.0))
    name = stored(tmp_path, SMALL[:4_000])
    with PutServer(takes()) as server:
        assert Putting(tmp_path, name, server.url, media_kbps=16).done() == PutDone(name)
    assert waits == pytest.approx([0.0, 0.512, 1.024, 1.536])
