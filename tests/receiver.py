"""A receiver of DC-09 that answers what a test tells it to: for what an independent one (pysiaalarm) never does."""

import queue
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from driver_host import DEADLINE_S

from drivers.dc09_frame import Frames, framed

Reply = Callable[[bytes], bytes]
"""What it answers to the body of a frame; b"" for nothing, HANG_UP to hang up."""
HANG_UP = b"hang up"


def answer(kind: str, body: bytes, rest: str = "") -> bytes:
    """`"ACK"0001R0L0#1234[]` to a message of that number."""
    number = body.partition(b'"')[2].partition(b'"')[2][:4].decode()
    return framed(f'"{kind}"{number}R0L0#1234[]{rest}'.encode())


class Receiver:
    """Listens on a port of this machine, one caller at a time."""

    def __init__(self, scheme: str, reply: Reply) -> None:
        self.reply = reply
        self.heard: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.calls = 0
        self._scheme = scheme
        self._socket = socket.socket(type=socket.SOCK_STREAM if scheme == "tcp" else socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(0.1)
        if scheme == "tcp":
            self._socket.listen()
        self.address = f"{scheme}://127.0.0.1:{self._socket.getsockname()[1]}"
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._tcp if scheme == "tcp" else self._udp)
        self._thread.start()

    def take(self) -> bytes:
        """The body of the next message."""
        return self.heard.get(timeout=DEADLINE_S)

    def close(self) -> None:
        self._ended.set()
        self._thread.join(DEADLINE_S)
        self._socket.close()

    def _tcp(self) -> None:
        while not self._ended.is_set():
            with suppress(TimeoutError):
                caller, _ = self._socket.accept()
                self.calls += 1
                caller.settimeout(0.1)
                with caller, suppress(ConnectionError):
                    self._serve(caller)

    def _serve(self, caller: socket.socket) -> None:
        frames = Frames()
        while not self._ended.is_set():
            with suppress(TimeoutError):
                if not (data := caller.recv(4096)):
                    return
                for body in frames.feed(data):
                    self.heard.put(body)
                    if (reply := self.reply(body)) == HANG_UP:
                        return
                    caller.sendall(reply)

    def _udp(self) -> None:
        while not self._ended.is_set():
            with suppress(TimeoutError):
                data, caller = self._socket.recvfrom(4096)
                for body in Frames().feed(data):
                    self.heard.put(body)
                    if reply := self.reply(body):
                        self._socket.sendto(reply, caller)


@contextmanager
def receiver(reply: Reply, scheme: str = "tcp") -> Iterator[Receiver]:
    it = Receiver(scheme, reply)
    try:
        yield it
    finally:
        it.close()
