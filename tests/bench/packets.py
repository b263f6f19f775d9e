"""Just so much of MQTT and NATS as the far end needs, on raw bytes."""

import socket
from collections.abc import Sequence
from typing import Protocol, Self

RECEIVE_MAX = 10_000
SESSION_S = 86_400
ANSWER_S = 40.0
CONNACK_BYTES, PUBACK_BYTES = 4, 4  # of MQTT 3.1.1


class Wire(Protocol):
    """What the bytes on a connection mean."""

    hello: bytes
    ready: bool
    """It is subscribed."""

    def split(self, data: bytes) -> tuple[int, bytes]:
        """The end of the last whole packet, and what is to be answered."""


def _sized(first: int, body: bytes) -> bytes:
    """An MQTT packet."""
    size, rest = bytearray(), len(body)
    while True:
        rest, low = divmod(rest, 128)
        size.append(low | 128 if rest else low)
        if not rest:
            return bytes([first]) + bytes(size) + body


def _text(words: str) -> bytes:
    return len(words.encode()).to_bytes(2, "big") + words.encode()


class Mqtt:
    """MQTT 5 or 3.1.1; the session is kept for a day."""

    def __init__(self, topics: Sequence[str], five: bool) -> None:
        self.ready = False
        self._five = five
        properties = b"\x08\x11" + SESSION_S.to_bytes(4, "big") + b"\x21" + RECEIVE_MAX.to_bytes(2, "big")
        connect = _text("MQTT") + (b"\x05\x00\x00\x00" + properties if five else b"\x04\x00\x00\x00") + _text("sink")
        filters = b"".join(_text(topic) + b"\x01" for topic in topics)
        self.hello = _sized(0x10, connect) + _sized(0x82, b"\x00\x01" + (b"\x00" if five else b"") + filters)

    def split(self, data: bytes) -> tuple[int, bytes]:
        answer, at, end = bytearray(), 0, len(data)
        while at + 4 < end or (at + 1 < end and data[at + 1] + at + 2 <= end):
            body, size, shift = at + 2, data[at + 1], 7
            if size & 128:
                size &= 127
                while data[body] & 128 and shift < 21:
                    size |= (data[body] & 127) << shift
                    body, shift = body + 1, shift + 7
                size |= data[body] << shift
                body += 1
            if body + size > end:
                break
            kind = data[at]
            if kind & 0xF6 == 0x32:
                mid = body + 2 + (data[body] << 8) + data[body + 1]
                answer += b"\x40\x02" + data[mid : mid + 2]
            elif kind == 0x90:
                self.ready = True
            at = body + size
        return at, bytes(answer)

    def publish(self, topic: str, payload: bytes, mid: int) -> bytes:
        """A PUBLISH with QoS 1."""
        properties = b"\x00" if self._five else b""
        return _sized(0x32, _text(topic) + mid.to_bytes(2, "big") + properties + payload)


class Nats:
    """Subjects of a NATS server; what comes is JSON, so no payload has a line's end in it."""

    def __init__(self, subjects: Sequence[str]) -> None:
        self.ready = False
        lines = ['CONNECT {"verbose":false,"pedantic":false}']
        lines += [f"SUB {subject} {number}" for number, subject in enumerate(subjects, 1)]
        self.hello = "\r\n".join([*lines, "PING", ""]).encode()

    def split(self, data: bytes) -> tuple[int, bytes]:
        last = data.rfind(b"}\r\n")
        end = len(data) if data.endswith(b"NG\r\n") else last + 3 if last >= 0 else 0
        self.ready = self.ready or b"PONG\r\n" in data[:end]
        return end, b"PONG\r\n" if b"PING\r\n" in data[:end] else b""


class RawClient:
    """Publishes with MQTT 3.1.1 and QoS 1 on a bare socket. Raises OSError."""

    def __init__(self, port: int) -> None:
        self._wire, self._mid = Mqtt([], five=False), 0
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=ANSWER_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(_sized(0x10, _text("MQTT") + b"\x04\x02\x00\x00" + _text("raw")))
        self._socket.recv(CONNACK_BYTES, socket.MSG_WAITALL)
        self._unanswered = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def publish(self, topic: str, payload: bytes) -> None:
        """Sent when it returns; the answer is left for `publish_all`."""
        self._socket.sendall(self._packet(topic, payload))
        self._unanswered += 1

    def publish_all(self, topic: str, payloads: Sequence[bytes], window: int = 1000) -> None:
        """As fast as a broker takes them: ready packets, `window` on their way. Returns when it has all."""
        packets, part = [self._packet(topic, payload) for payload in payloads], window // 2
        for start in range(0, len(packets), part):
            self._await(part)
            self._socket.sendall(b"".join(packets[start : start + part]))
            self._unanswered += len(packets[start : start + part])
        self._await(0)

    def _packet(self, topic: str, payload: bytes) -> bytes:
        self._mid = self._mid % 65535 + 1
        return self._wire.publish(topic, payload, self._mid)

    def _await(self, unanswered: int) -> None:
        """Reads PUBACKs until no more than so many are missing."""
        while (many := self._unanswered - unanswered) > 0:
            self._unanswered -= len(self._socket.recv(many * PUBACK_BYTES, socket.MSG_WAITALL)) // PUBACK_BYTES
