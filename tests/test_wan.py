"""The simulated link against plain sockets: what arrives, what does not, and what the two ends are told."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest

from simulators.wan import BUFFER_BYTES, Wan

DEADLINE_S = 10.0
QUIET_S = 0.2  # how long "nothing arrives" is watched


@pytest.fixture
def far() -> Iterator[socket.socket]:
    """The target: a listening socket."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(DEADLINE_S)
        yield server


@pytest.fixture
def wan(far: socket.socket) -> Iterator[Wan]:
    with Wan(0, far.getsockname()) as link:
        yield link


def dial(wan: Wan) -> socket.socket:
    return socket.create_connection(("127.0.0.1", wan.port), timeout=DEADLINE_S)


def pair(wan: Wan, far: socket.socket) -> tuple[socket.socket, socket.socket]:
    near = dial(wan)
    other, _ = far.accept()
    other.settimeout(DEADLINE_S)
    return near, other


def read(end: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = end.recv(count - len(data))
        assert part, f"closed after {len(data)} of {count} bytes"
        data += part
    return data


def silent(end: socket.socket) -> bool:
    """No byte, no FIN, no RST for a while."""
    end.settimeout(QUIET_S)
    try:
        end.recv(1)
    except TimeoutError:
        return True
    finally:
        end.settimeout(DEADLINE_S)
    return False


def test_every_byte_arrives_in_both_directions_with_delay_and_jitter(far: socket.socket) -> None:
    with Wan(0, far.getsockname(), delay_ms=5, jitter_ms=10) as wan:
        near, other = pair(wan, far)
        sent = bytes(range(256)) * 2000
        for source, sink in ((near, other), (other, near)):
            sender = threading.Thread(target=source.sendall, args=(sent,))
            sender.start()
            assert read(sink, len(sent)) == sent
            sender.join(DEADLINE_S)


def test_the_end_of_one_direction_leaves_the_other_open(wan: Wan, far: socket.socket) -> None:
    near, other = pair(wan, far)
    near.sendall(b"question")
    near.shutdown(socket.SHUT_WR)
    assert read(other, 8) == b"question"
    assert other.recv(1) == b""
    other.sendall(b"answer")
    assert read(near, 6) == b"answer"


def test_a_reset_at_one_end_is_a_reset_at_the_other(wan: Wan, far: socket.socket) -> None:
    near, other = pair(wan, far)
    near.sendall(b"x")
    read(other, 1)
    near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    near.close()
    with pytest.raises(ConnectionResetError):
        other.recv(1)


def test_a_cut_resets_both_ends_and_refuses_new_ones_until_restored(wan: Wan, far: socket.socket) -> None:
    near, other = pair(wan, far)
    near.sendall(b"x")
    read(other, 1)
    wan.cut()
    for end in (near, other):
        with pytest.raises(ConnectionResetError):
            end.recv(1)
    with pytest.raises(ConnectionRefusedError):
        dial(wan)
    assert wan.state()["connections"] == 0
    wan.restore()
    near, other = pair(wan, far)
    near.sendall(b"again")
    assert read(other, 5) == b"again"


def test_a_stall_in_the_middle_of_a_packet_holds_the_rest_until_restored(wan: Wan, far: socket.socket) -> None:
    near, other = pair(wan, far)
    wan.set_rate(64)
    packet = bytes(range(250)) * 16
    near.sendall(packet)
    begun = read(other, 1)
    wan.stall()
    other.settimeout(QUIET_S)
    with pytest.raises(TimeoutError):
        while True:
            begun += other.recv(4096)
    other.settimeout(DEADLINE_S)
    assert 0 < len(begun) < len(packet)
    assert begun == packet[: len(begun)]
    wan.set_rate(None)
    wan.restore()
    assert read(other, len(packet) - len(begun)) == packet[len(begun) :]


def test_a_stalled_link_accepts_and_delivers_later(wan: Wan, far: socket.socket) -> None:
    wan.stall()
    near = dial(wan)
    near.sendall(b"patience")
    wan.restore()
    other, _ = far.accept()
    assert read(other, 8) == b"patience"


def test_a_stalled_link_holds_a_bounded_amount(wan: Wan, far: socket.socket) -> None:
    near, _other = pair(wan, far)
    wan.stall()
    near.settimeout(1.0)
    near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    taken = 0
    with pytest.raises(TimeoutError):
        while taken < 100 * BUFFER_BYTES:
            taken += near.send(bytes(65536))
    assert taken < 20 * BUFFER_BYTES  # ours, and the kernel's buffers on both sides of it


def test_a_half_open_link_tells_nobody_anything(wan: Wan, far: socket.socket) -> None:
    near, other = pair(wan, far)
    wan.half_open()
    near.sendall(b"lost")
    assert silent(other)
    other.sendall(b"lost too")
    other.close()
    assert silent(near)
    newcomer = dial(wan)
    newcomer.sendall(b"lost as well")
    assert silent(newcomer)
    far.settimeout(QUIET_S)
    with pytest.raises(TimeoutError):
        far.accept()


def test_after_half_open_a_connection_that_lost_bytes_is_reset_and_one_that_did_not_goes_on(
    wan: Wan, far: socket.socket
) -> None:
    near, other = pair(wan, far)
    idle_near, idle_other = pair(wan, far)
    wan.half_open()
    near.sendall(b"lost")
    assert silent(other)
    wan.restore()
    for end in (near, other):
        with pytest.raises(ConnectionResetError):
            end.recv(1)
    idle_near.sendall(b"well")
    assert read(idle_other, 4) == b"well"


def test_a_rate_is_shared_by_all_connections(wan: Wan, far: socket.socket) -> None:
    pairs = [pair(wan, far) for _ in range(2)]
    wan.set_rate(800)  # 100 kB/s
    began_s = monotonic()
    for near, _ in pairs:
        near.sendall(bytes(20_000))
    for _, other in pairs:
        read(other, 20_000)
    assert monotonic() - began_s >= 0.4  # a lower bound: 40 kB cannot be faster


def test_a_target_that_is_down_is_a_reset(far: socket.socket) -> None:
    gone = far.getsockname()
    far.close()
    with Wan(0, gone) as wan, pytest.raises(ConnectionResetError):
        dial(wan).recv(1)


def test_a_port_that_is_taken_is_an_error(far: socket.socket) -> None:
    with pytest.raises(OSError, match="in use"):
        Wan(far.getsockname()[1], ("127.0.0.1", 1))


@pytest.mark.parametrize("line", ["", "cuts", "rate", "rate fast", "rate -1", "rate 0", "cut now", "delay x"])
def test_a_wrong_control_line_says_what_is_allowed_and_changes_nothing(wan: Wan, line: str) -> None:
    before = wan.state()
    assert list(wan.command(line)) == ["error"]
    assert wan.state() == before


def test_the_command_line_takes_controls_on_stdin_and_on_a_socket(far: socket.socket, tmp_path: Path) -> None:
    control = tmp_path / "control"
    host, port = far.getsockname()
    argv = [sys.executable, "-c", "import sys; from simulators.cli import main; sys.exit(main())", "wan"]
    argv += ["--listen", "0", "--to", f"{host}:{port}", "--rate-kbps", "64", "--control", str(control)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdin
        assert program.stdout
        state = json.loads(program.stdout.readline())
        assert (state["mode"], state["rate_kbps"]) == ("up", 64)
        near = socket.create_connection(("127.0.0.1", state["port"]), timeout=DEADLINE_S)
        other, _ = far.accept()
        near.sendall(b"x")
        assert read(other, 1) == b"x"
        program.stdin.write("cut\n")
        program.stdin.flush()
        assert json.loads(program.stdout.readline())["mode"] == "cut"
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(DEADLINE_S)
            client.connect(str(control))
            client.sendall(b"half-open\nwhat\n")
            lines = client.makefile()
            assert json.loads(lines.readline())["mode"] == "half-open"
            assert "half-open" in json.loads(lines.readline())["error"]
        program.terminate()
        assert program.wait(DEADLINE_S) == 0
