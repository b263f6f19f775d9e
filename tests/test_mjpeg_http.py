"""The HTTP camera on real sockets: what it sends, and everything that goes wrong."""

import socket
import threading

import pytest
from camera_server import JPEG, MULTIPART, CameraServer, Script, forever, part, says

from drivers import mjpeg_http
from drivers.mjpeg_http import MjpegHttp
from drivers.packets import CameraError, shown

DIGEST = b'WWW-Authenticate: Digest realm="cam", qop="auth", nonce="n1", algorithm=MD5\r\n'
BASIC = b'WWW-Authenticate: Basic realm="cam"\r\n'


def unauthorized(*challenges: bytes) -> bytes:
    return b"HTTP/1.1 401 Unauthorized\r\n" + b"".join(challenges) + b"Content-Length: 0\r\n\r\n"


def wants(challenge: bytes, expected: bytes) -> Script:
    """Sends pictures to who says `expected`, and a 401 to everyone else."""
    pictures, refusal = says(MULTIPART, part(), hold=True), says(unauthorized(challenge))
    return lambda connection, head: (pictures if expected in head else refusal)(connection, head)


def refusal(script: Script, user: str = "") -> str:
    """What the CameraError says that comes of it, at the start or later."""
    with CameraServer(script) as server, pytest.raises(CameraError) as caught:
        camera = MjpegHttp(server.url(user=user))
        try:
            while True:
                camera.read()
        finally:
            camera.close()
    return str(caught.value)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mjpeg_http, "WAIT_S", 0.2)


def test_pictures_come_as_they_were_sent_with_the_time_of_their_end() -> None:
    with CameraServer(says(MULTIPART, part(), part(length=None), part(), hold=True)) as server:
        camera = MjpegHttp(server.url())
        packets = [camera.read() for _ in range(3)]
        camera.close()
    assert [packet.data for packet in packets] == [JPEG] * 3
    assert all(packet.key and packet.pts_s == packet.dts_s == packet.seen_s for packet in packets)
    assert [packet.seen_s for packet in packets] == sorted(packet.seen_s for packet in packets)
    assert camera.stream.codec == "mjpeg"


def test_a_chunked_stream_is_read() -> None:
    chunked = MULTIPART.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n")
    data = part()
    pieces = [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (data[:7], data[7:100], data[100:])]
    with CameraServer(says(chunked, *pieces, hold=True)) as server:
        camera = MjpegHttp(server.url())
        assert camera.read().data == JPEG
        camera.close()


@pytest.mark.parametrize(
    ("challenge", "expected"),
    [(BASIC, b"Authorization: Basic YWRtaW46cEBzcw==\r\n"), (DIGEST, b'Authorization: Digest username="admin"')],
    ids=["basic", "digest"],
)
def test_credentials_are_told_when_the_camera_asks_and_not_before(challenge: bytes, expected: bytes) -> None:
    with CameraServer(wants(challenge, expected)) as server:
        camera = MjpegHttp(server.url(user="admin:p%40ss"))
        assert camera.read().data == JPEG
        camera.close()
        assert [b"Authorization" in request for request in server.requests] == [False, True]


def test_a_wrong_password_is_told_once_and_stands_in_no_text() -> None:
    asked: list[bytes] = []

    def script(connection: socket.socket, head: bytes) -> None:
        asked.append(head)
        connection.sendall(unauthorized(DIGEST, BASIC))

    text = refusal(script, user="admin:geheim")
    assert text.endswith("the camera refuses this user and password; check both")
    assert len(asked) == 2
    assert "geheim" not in text
    assert "admin" not in text


def test_a_camera_that_wants_a_password_that_the_config_has_not_says_so() -> None:
    assert "wants a user and a password" in refusal(says(unauthorized(BASIC)))
    assert "other than Basic or Digest" in refusal(says(unauthorized(b"WWW-Authenticate: NTLM\r\n")), user="a:b")


def redirect(to: str, status: int = 302) -> bytes:
    return f"HTTP/1.1 {status} Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n".encode()


def test_a_redirect_within_the_camera_is_followed_with_its_credentials() -> None:
    inner = wants(BASIC, b"Authorization: Basic")
    moved = says(redirect("/other?x=1"))
    with CameraServer(lambda connection, head: (moved if b" /video " in head else inner)(connection, head)) as server:
        camera = MjpegHttp(server.url(user="admin:secret"))
        assert camera.read().data == JPEG
        camera.close()
        assert [request.split()[1] for request in server.requests] == [b"/video", b"/other?x=1", b"/other?x=1"]


def test_another_host_is_told_no_credentials() -> None:
    with CameraServer(wants(BASIC, b"Authorization")) as other:
        text = refusal(says(redirect(f"http://localhost:{other.port}/video")), user="admin:secret")
        assert "to another host, which wants a password" in text
        assert len(other.requests) == 1
        assert b"Authorization" not in other.requests[0]


def test_a_redirect_to_another_host_without_a_password_is_followed() -> None:
    with (
        CameraServer(says(MULTIPART, part(), hold=True)) as other,
        CameraServer(says(redirect(f"http://localhost:{other.port}/v", 307))) as server,
    ):
        camera = MjpegHttp(server.url(user="admin:secret"))
        assert camera.read().data == JPEG
        camera.close()
        assert b"admin" not in other.requests[0]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (redirect("/video"), "from one address to another without an end"),
        (redirect("file:///etc/shadow"), "to what is no http or https address"),
        (redirect("http://x:99999999/"), "what answers is no HTTP"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "HTTP status 404; check the path"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>Log in</html>", "answers 'text/html', allowed is"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n\r\n" + JPEG, "answers 'image/jpeg', allowed is"),
        (MULTIPART.replace(b"; boundary=frame", b""), "multipart/x-mixed-replace with a boundary"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "what answers is no HTTP"),
        (b"", "what answers is no HTTP"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", "what answers is no HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000, "what answers is no HTTP"),
        (MULTIPART, "the camera has ended the stream"),
        (MULTIPART + part() + part()[:60], "the camera has ended the stream"),
        (MULTIPART + b"--frame\r\n" + b"X: y\r\n" * 3000, "the head of a part has more than 8192 bytes"),
        (
            MULTIPART.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n") + b"no number\r\n",
            "what answers is no HTTP",
        ),
    ],
)
def test_what_is_no_stream_of_pictures_is_told_clearly(answer: bytes, told: str) -> None:
    text = refusal(says(answer))
    assert told in text
    assert text.startswith("http://127.0.0.1:")


@pytest.mark.parametrize(
    ("first", "then", "told"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n", "nothing whole came within"),
        (MULTIPART, b"garbage " * 1000, "nothing whole came within"),
        (MULTIPART + b"--frame\r\n\r\n", b"garbage " * 100_000, "a part has more than"),
    ],
    ids=["answers", "no boundary", "no end"],
)
def test_endless_bytes_end_in_a_clear_error(impatient: None, first: bytes, then: bytes, told: str) -> None:
    if "more than" in told:
        mjpeg_http.WAIT_S = 30.0  # type: ignore[misc]  # the limit of a part ends it, not the time
    assert told in refusal(forever(first, then))


@pytest.mark.parametrize("first", [b"", b"HTTP/1.1 200 OK\r\n", MULTIPART, MULTIPART + part()[:80]])
def test_a_camera_that_falls_silent_is_left(impatient: None, first: bytes) -> None:
    assert "nothing whole came within 0.2 s" in refusal(says(first, hold=True))


@pytest.mark.parametrize("first", [b"HTTP/1.1 200 OK\r\nX: ", MULTIPART, MULTIPART + b"--frame\r\n\r\n"])
def test_bytes_that_drip_for_ever_are_no_picture(impatient: None, first: bytes) -> None:
    """Each byte comes well within the time; all of them together never do."""
    dripping = threading.Event()

    def script(connection: socket.socket, head: bytes) -> None:
        connection.sendall(first)
        while not dripping.wait(0.02):
            connection.sendall(b"x")

    try:
        assert "nothing whole came within 0.2 s" in refusal(script)
    finally:
        dripping.set()


def test_a_host_that_is_not_there_is_told_clearly() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(CameraError, match="nobody listens there; check the port"):
        MjpegHttp(f"http://127.0.0.1:{port}/")
    with pytest.raises(CameraError, match="no host of this name"):
        MjpegHttp("http://camera.invalid/")


def test_an_address_that_is_none_is_told_clearly() -> None:
    with CameraServer(says(MULTIPART)) as server, pytest.raises(CameraError, match="what no address may; write"):
        MjpegHttp(server.url("/a b"))


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("rtsp://admin:secret@10.0.0.20:8554/user=admin&password=secret", "rtsp://10.0.0.20:8554"),
        ("http://cam/video?pwd=secret", "http://cam"),
        ("https://a:secret@[fe80::1]:8443/x", "https://[fe80::1]:8443"),
        ("http://a:secret@cam:port/", "the source"),
        ("/dev/video0", "/dev/video0"),
    ],
)
def test_a_source_is_shown_without_what_may_be_a_password(source: str, text: str) -> None:
    assert shown(source) == text
