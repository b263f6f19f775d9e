"""MQTT brokers that misbehave, by hand on raw sockets: what no real one does on request.

A manner is a function that is given each connection, on a thread of its own, and does with it what it likes; when it
returns, the connection is closed. `BadBroker(manner)` counts who dials.
"""

import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Self

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, PINGREQ, PINGRESP = 1, 2, 3, 4, 8, 9, 12, 13
REFUSED: Final = 0x87
RECEIVE_MAXIMUM: Final = 0x21
WAITS_S: Final = 300.0


@dataclass
class Guest:
    """One connection of a box. The packets that it sends are `packets`; everything else is an answer to one."""

    socket: socket.socket
    five: bool = True
    gone: threading.Event = field(default_factory=threading.Event)
    """The broker stops."""

    def packets(self) -> Iterator[tuple[int, bytes]]:
        """(type, what follows the length) until the box hangs up."""
        while head := self._read(1):
            length = shift = 0
            while (digit := self._read(1)[0]) & 0x80:
                length, shift = length | (digit & 0x7F) << shift, shift + 7
            body = self._read(length | digit << shift)
            if head[0] >> 4 == CONNECT:
                self.five = body[6] == 5  # after the protocol's name
            yield head[0] >> 4, body

    def comes(self, seconds: float) -> int:
        """The type of the packet that comes next within so long, which stays where it is; 0 when none does."""
        readable, _, _ = select.select([self.socket], [], [], seconds)
        head = self.socket.recv(1, socket.MSG_PEEK) if readable else b""
        return head[0] >> 4 if head else 0

    def _read(self, size: int) -> bytes:
        return self.socket.recv(size, socket.MSG_WAITALL) if size else b""

    def send(self, kind: int, body: bytes, flags: int = 0) -> None:
        """One packet of at most 127 bytes."""
        self.socket.sendall(bytes([kind << 4 | flags, len(body)]) + body)

    def connack(self, *, receive_max: int | None = None) -> None:
        """receive_max: MQTT 5 alone can say it."""
        limit = b"" if receive_max is None else struct.pack(">BH", RECEIVE_MAXIMUM, receive_max)
        self.send(CONNACK, b"\0\0" + (bytes([len(limit)]) + limit if self.five else b""))

    def suback(self, body: bytes, code: int | None = None) -> None:
        """code: of every topic; None grants each with QoS 1."""
        topics = body.count(b"callbox/1/")
        no_properties = b"\0" if self.five else b""
        self.send(SUBACK, body[:2] + no_properties + bytes([1 if code is None else code] * topics))

    def puback(self, body: bytes, code: int = 0) -> None:
        [name_bytes] = struct.unpack_from(">H", body)
        self.send(PUBACK, body[2 + name_bytes : 4 + name_bytes] + (bytes([code, 0]) if self.five else b""))

    def answer(self, kind: int, body: bytes) -> None:
        """As a good broker does, but that nobody is ever told of an event."""
        match kind:
            case 1:
                self.connack()
            case 3:
                self.puback(body)
            case 8:
                self.suback(body)
            case 12:
                self.send(PINGRESP, b"")

    def wait(self, seconds: float = WAITS_S) -> None:
        """Says nothing for so long, or until the broker stops."""
        self.gone.wait(seconds)


Manner = Callable[[Guest], None]


class BadBroker:
    """Listens on 127.0.0.1 from `start` to `stop`."""

    def __init__(self, manner: Manner) -> None:
        self.dials: list[float] = []
        """The monotonic second of each connection."""
        self._manner, self._gone = manner, threading.Event()
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._door.getsockname()[1]
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept, name="bad-broker", daemon=True)

    def __enter__(self) -> Self:
        self._accepting.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._gone.set()
        for each in (self._door, *self._sockets):
            with suppress(OSError):  # it is not connected any more
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in (self._accepting, *self._threads):
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                guest, _ = self._door.accept()
            except OSError:
                return  # it was closed
            self.dials.append(time.monotonic())
            self._sockets.append(guest)
            self._threads.append(threading.Thread(target=self._serve, args=[guest], daemon=True))
            self._threads[-1].start()

    def _serve(self, guest: socket.socket) -> None:
        with guest, suppress(OSError, IndexError):  # the box hung up, perhaps in the middle of a packet
            guest.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._manner(Guest(guest, gone=self._gone))


# ---- manners


def silent(guest: Guest) -> None:
    """Accepts, and never says a word: not to a CONNECT, not to a TLS handshake."""
    guest.wait()


def kicks_at_once(guest: Guest) -> None:
    """Accepts the connection and closes it."""


def kicks_after(packets: int) -> Manner:
    """Behaves well for so many packets, and hangs up."""

    def manner(guest: Guest) -> None:
        for number, (kind, body) in enumerate(guest.packets(), 1):
            guest.answer(kind, body)
            if number == packets:
                return

    return manner


def withholds_pubacks(guest: Guest) -> None:
    """Takes every message and acknowledges none."""
    for kind, body in guest.packets():
        if kind != PUBLISH:
            guest.answer(kind, body)


def answers_once_in(seconds: float) -> Manner:
    """One packet in so long, once the session stands."""

    def manner(guest: Guest) -> None:
        for kind, body in guest.packets():
            if kind not in (CONNECT, SUBSCRIBE):
                guest.wait(seconds)
            guest.answer(kind, body)

    return manner


def takes_one_at_a_time(taken: list[bytes]) -> Manner:
    """Says so, and hangs up on who sends another message before the PUBACK of the last. taken: of what it took."""

    def manner(guest: Guest) -> None:
        for kind, body in guest.packets():
            if kind == CONNECT:
                guest.connack(receive_max=1)
                continue
            if kind == PUBLISH:
                if guest.comes(0.02) == PUBLISH:
                    return
                taken.append(body)
            guest.answer(kind, body)

    return manner


def says_garbage(guest: Guest) -> None:
    """Answers in bytes that are no MQTT."""
    for _ in guest.packets():
        guest.socket.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def garbage_in_the_session(guest: Guest) -> None:
    """The same, but once the session stands."""
    for kind, body in guest.packets():
        if kind == PUBLISH:
            guest.socket.sendall(b"\xff\xff\xff\xff\xff\xff" * 10)
        else:
            guest.answer(kind, body)


def refuses_topics(guest: Guest) -> None:
    """SUBACK 0x87."""
    for kind, body in guest.packets():
        if kind == SUBSCRIBE:
            guest.suback(body, REFUSED)
        else:
            guest.answer(kind, body)


def stops_in_a_packet(guest: Guest) -> None:
    """The first half of a receipt, and never the second; nor anything else."""
    for kind, body in guest.packets():
        guest.answer(kind, body)
        if kind == PUBLISH:
            topic = b"callbox/1/test/box-1/receipt"
            half = struct.pack(">H", len(topic)) + topic + b"\0\1" + (b"\0" if guest.five else b"") + b'{"journal"'
            guest.socket.sendall(bytes([PUBLISH << 4 | 2, 120]) + half)
            guest.wait()


def nobody_listens(guest: Guest) -> None:
    """Takes every message, for nobody: 3.1.1 cannot even say so."""
    for kind, body in guest.packets():
        guest.answer(kind, body)


def refuses_who_speaks_5(guest: Guest) -> None:
    """Knows 3.1.1 alone and says so in its words: CONNACK with return code 1."""
    for kind, body in guest.packets():
        if kind == CONNECT and guest.five:
            guest.socket.sendall(bytes([CONNACK << 4, 2, 0, 1]))
            return
        guest.answer(kind, body)
