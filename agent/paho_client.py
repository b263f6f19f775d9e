"""paho's client with one system call where it makes many, for a third of the time a message takes.

paho reads a PUBACK in three pieces, makes five objects of it, and sends each message by itself; and each call lets go
of the interpreter, which under load takes longer to get back than the call took. What is overridden here is paho's own
business: should a version of it do that in another way, it is done as paho does, and a test notices.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode

READ_BYTES: Final = 65_536
BEHIND_BYTES_MAX: Final = 262_144
"""Handed over by paho and not yet by the kernel: with more, paho has to wait."""


class Client(paho.Client):
    """Bytes are read ahead and sent together; only `loop_write` sends. Websockets, which have frames, go paho's way."""

    def __init__(self, *args: Any, acked: Callable[[int], None], **more: Any) -> None:
        """acked: called with the message id of a PUBACK without a reason; the others go to `on_publish`."""
        super().__init__(*args, **more)
        self._acked = acked
        self._plain = more.get("transport") != "websockets"
        self._ahead, self._at = b"", 0
        self._behind = bytearray()

    @property
    def has_read_ahead(self) -> bool:
        """There are bytes that no poll of the socket tells of."""
        pending = getattr(self.socket(), "pending", None)  # TLS and websockets
        return self._at < len(self._ahead) or (pending is not None and pending() > 0)

    def want_write(self) -> bool:
        return bool(self._behind) or super().want_write()

    def loop_write(self) -> MQTTErrorCode:
        """Raises OSError when the connection is gone."""
        code = super().loop_write()
        with suppress(BlockingIOError):
            self._flush()
        return code

    def _flush(self) -> None:
        while self._behind and self.socket() is not None:
            del self._behind[: super()._sock_send(self._behind)]

    def _sock_recv(self, bufsize: int) -> bytes:
        if not self._plain:
            return super()._sock_recv(bufsize)
        if self._at >= len(self._ahead):
            self._ahead, self._at = super()._sock_recv(max(bufsize, READ_BYTES)), 0
        part = self._ahead[self._at : self._at + bufsize]
        self._at += len(part)
        return part

    def _sock_send(self, buf: bytes | bytearray) -> int:
        if not self._plain:
            return super()._sock_send(buf)
        if len(self._behind) > BEHIND_BYTES_MAX:
            raise BlockingIOError
        self._behind += buf
        return len(buf)

    def _sock_close(self) -> None:
        with suppress(OSError):  # the DISCONNECT, if there is one
            self._flush()
        super()._sock_close()

    def _handle_pubackcomp(self, cmd: Any) -> MQTTErrorCode:
        packet = self._in_packet["packet"]
        if cmd != "PUBACK" or len(packet) != 2:
            return super()._handle_pubackcomp(cmd)
        mid = int.from_bytes(packet, "big")
        with self._out_message_mutex:
            if self._out_messages.pop(mid, None) is not None:
                self._inflight_messages -= 1
                self._acked(mid)
        return paho.MQTT_ERR_SUCCESS
