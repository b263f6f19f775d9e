"""MQTT by paho: one session, one client, one thread. It moves bytes and decides nothing.

A new client for each session, so that paho's own queue is always empty and the outbox is the only truth. Callbacks
run under paho's locks and only enqueue.
"""

import os
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from agent import threads
from agent.commands import PAYLOAD_BYTES_MAX
from agent.errors import BoxError, link_error
from agent.mail import NEIGHBOUR, Acked, Answered, Arrived, Connect, Publish, SessionDown, SessionUp
from agent.paho_client import Client
from agent.uplink import will

if TYPE_CHECKING:
    from agent.config import Config, Link

CONNECT_TIMEOUT_S: Final = 10.0
USER_TIMEOUT_MS: Final = 4_000
"""TCP_USER_TIMEOUT: sent bytes that nobody acknowledges for so long end a half-open link (34 s without it)."""
SESSION_EXPIRY_S: Final = 86_400
"""The broker keeps commands for a box that reboots."""
EVENT_EXPIRY_S: Final = 7 * 86_400
"""A courtesy to the broker's queue: an event without a receipt is sent again in any case."""
CONTENT_TYPES: Final = {"event": "application/cloudevents+json", "batch": "application/cloudevents-batch+json"}
WRONG_PROTOCOL: Final = 0x84
LOOP_MS: Final = 1_000
REFUSAL_S: Final = 1.0
"""A broker that refuses this box's certificate says so within this."""

Answer = Callable[[SessionUp | SessionDown | Acked | Arrived], None]


class Session:
    """One connection to one broker, from `Connect` to `SessionDown`, which always comes, once.

    One for media has a client id of its own, no will and no subscription, and leaves nothing at the broker.
    """

    def __init__(self, config: "Config", connect: Connect, answer: Answer) -> None:
        """answer: called in the session's thread; must never block."""
        self.name = connect.session
        self._root, self._five = config.root, connect.protocol == "5"
        self._link, self._keepalive_s = config.links[connect.link], config.timing.keepalive_s
        self._media = connect.media
        self._topics = {f"{self._root}/receipt": "receipt", f"{self._root}/command": "command"}
        """What is subscribed to, by what the box calls it; of neighbours last."""
        near = {f"callbox/1/{config.box.site}/{entry.box}/event/alarm": entry.box for entry in config.neighbours}
        self._topics |= {topic: f"{NEIGHBOUR}{box}" for topic, box in near.items()}
        self._client_id = f"callbox-{config.box.site}-{config.box.id}{'-media' if self._media else ''}"
        self._expires = config.delivery == "receipt"
        self._answer = answer
        self._tokens: dict[int, int] = {}
        self._acks: list[Acked] = []
        self._closing = self._unsent = False
        self._dialled = self._answered = self._stood = False
        self._reason: BoxError | None = None
        self._wrong_protocol = False
        self.progress_s = float("inf")
        """When the standing session last moved; one that opens is the link's to watch, one that ended nobody's."""
        self._client: Client | None = None
        self._wake_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._waking, self._ended = threading.Lock(), False
        self._thread = threads.start(self._run, f"mqtt-{self.name}")

    # ---- called by the loop

    def publish(self, message: Publish) -> None:
        """Hands a message to paho; its PUBACK is answered with `Acked`."""
        client = self._client
        if client is None or not self._stood:
            return
        info = client.publish(
            f"{self._root}/{message.topic}",
            message.payload,
            qos=1,
            retain=message.retain,
            properties=self._courtesy(message),
        )
        if info.rc in (paho.MQTT_ERR_SUCCESS, paho.MQTT_ERR_NO_CONN):
            self._tokens[info.mid] = message.token
        self._unsent = True

    def flush(self) -> None:
        """Wakes the session's thread for what was published since: once for many messages."""
        if self._unsent:
            self._unsent = False
            with self._waking:
                if not self._ended:
                    os.eventfd_write(self._wake_fd, 1)

    def token(self, mid: int) -> int | None:
        """The token of paho's message id. Asked in the thread that publishes, so that it is always known."""
        return self._tokens.pop(mid, None)

    def close(self) -> None:
        """Ends the session; the thread goes within a second, and nobody waits for it."""
        self._closing = True
        if (client := self._client) is not None:
            client.disconnect()
        self._unsent = True
        self.flush()

    def join(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)

    # ---- the session's own thread

    def _run(self) -> None:
        try:
            self._session(self._make_client())
        except Exception as error:  # noqa: BLE001  whatever ends this thread, the box hears of it
            self._answered |= isinstance(error, TimeoutError)
            self._reason = self._reason or link_error(error)
        reason = self._reason or BoxError("the connection was lost", "check cable and modem, and the broker's log")
        found = f"{self._link.host}:{self._link.port}: {reason.found}"
        hung_up = self._dialled and not self._answered
        self.progress_s = float("inf")
        self._answer(SessionDown(self.name, found, reason.hint, self._wrong_protocol, hung_up))
        with self._waking:  # the number may be another file's at once
            self._ended = True
            os.close(self._wake_fd)

    def _session(self, client: Client) -> None:
        self._client = client
        if self._five:
            client.connect(
                self._link.host,
                self._link.port,
                self._keepalive_s,
                clean_start=self._media,
                properties=None if self._media else self._session_properties(),
            )
        else:
            client.connect(self._link.host, self._link.port, self._keepalive_s)
        self._dialled = True
        if self._closing and (sock := client.socket()) is not None:
            sock.close()  # a late CONNECT would end the session after this one
            return
        self._serve(client)

    def _serve(self, client: Client) -> None:
        """Moves bytes until the session ends. paho's own loop takes a third longer for each message."""
        sock = client.socket()
        if sock is None:
            return
        began_s = time.monotonic()
        poller = select.poll()
        poller.register(self._wake_fd, select.POLLIN)
        poller.register(sock, select.POLLIN)
        writes = False
        while True:
            self.progress_s = time.monotonic()
            if not self._stood and self.progress_s > began_s + CONNECT_TIMEOUT_S:
                raise TimeoutError
            if self._closing and not client.want_write():
                client.disconnect()
                client.loop_write()
                return
            if client.want_write() != writes:
                writes = not writes
                poller.modify(sock, select.POLLIN | (select.POLLOUT if writes else 0))
            ready = dict(poller.poll(0 if client.has_read_ahead else LOOP_MS))
            if self._wake_fd in ready:
                os.eventfd_read(self._wake_fd)
            if sock.fileno() in ready or client.has_read_ahead:
                ended = client.loop_read() != paho.MQTT_ERR_SUCCESS
                for acked in self._acks:  # together: each by itself would wake the loop for it
                    self._answer(acked)
                self._acks.clear()
                if ended:
                    return
            if client.want_write() and client.loop_write() != paho.MQTT_ERR_SUCCESS:
                return
            if client.loop_misc() != paho.MQTT_ERR_SUCCESS:
                return

    def _make_client(self) -> Client:
        link = self._link
        client = Client(
            CallbackAPIVersion.VERSION2,
            self._client_id,
            acked=self._on_acked,
            clean_session=None if self._five else self._media,
            protocol=paho.MQTTv5 if self._five else paho.MQTTv311,
            transport="websockets" if link.websockets else "tcp",
            reconnect_on_failure=False,
        )
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.max_inflight_messages_set(0)  # the window is the outbox's; paho's own would queue
        if link.websockets:
            client.ws_set_options(path=link.path)
        if link.tls:
            client.tls_set_context(_tls(link))
        if (user := _secret(link.username_file)) is not None:
            client.username_pw_set(user, _secret(link.password_file))
        if not self._media:
            client.will_set(f"{self._root}/state", will(self.name), qos=1, retain=True)
        client.on_socket_open = _tune
        client.on_socket_close = self._on_socket_close
        # Without this, `publish` writes to the socket in the caller's thread, across this one.
        client.on_socket_register_write = _leave_writing_to_the_loop
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        return client

    def _session_properties(self) -> Properties:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = SESSION_EXPIRY_S
        return properties

    def _courtesy(self, message: Publish) -> Properties | None:
        part = message.topic.partition("/")[0]
        if not self._five or part not in CONTENT_TYPES:
            return None
        return _courtesy(part, expires=self._expires, replayed=message.replayed)

    def _on_connect(self, client: paho.Client, _: Any, _flags: Any, code: ReasonCode, properties: Any) -> None:
        self._answered = True
        if code.is_failure:
            self._wrong_protocol = code.value == WRONG_PROTOCOL
            self._reason = (
                BoxError("the broker does not speak MQTT 5", "3.1.1 is tried")
                if self._wrong_protocol and self._five
                else BoxError(
                    f"the broker refused this box: {code}",
                    "check its log, this box's id, and `username_file` or `cert` in the config",
                )
            )
            client.disconnect()
            return
        self._up = SessionUp(
            self.name,
            "5" if self._five else "3.1.1",
            getattr(properties, "ReceiveMaximum", None),
            getattr(properties, "MaximumPacketSize", None),
        )
        if self._media:  # it only brings; what central says comes over the box's own session
            self._stand()
        else:
            client.subscribe([(topic, 1) for topic in self._topics])

    def _stand(self) -> None:
        self._stood = True
        self._answer(self._up)

    def _on_subscribe(self, client: paho.Client, _: Any, _mid: int, codes: list[ReasonCode], *_more: Any) -> None:
        if refused := [str(code) for code in codes[:2] if code.is_failure]:
            self._reason = BoxError(
                f"the broker refused the topics of this box: {refused[0]}", "check the broker's ACL"
            )
            client.disconnect()
            return
        names = [name.removeprefix(NEIGHBOUR) for name in self._topics.values()]
        deaf = tuple(name for name, code in zip(names[2:], codes[2:], strict=False) if code.is_failure)
        self._up = replace(self._up, deaf=deaf)
        self._stand()

    def _on_disconnect(
        self, _client: paho.Client, _: Any, flags: paho.DisconnectFlags, code: ReasonCode, *_more: Any
    ) -> None:
        if self._reason is None and flags.is_disconnect_packet_from_server:
            self._reason = BoxError(
                f"the broker ended the session: {code}", "check its log: is this box's id used twice?"
            )

    def _on_socket_close(self, _client: paho.Client, _: Any, sock: Any) -> None:
        if self._reason is None and isinstance(sock, _TellingSocket) and sock.broke is not None:
            self._answered = True
            self._reason = link_error(sock.broke)

    def _on_publish(self, _client: paho.Client, _: Any, mid: int, code: ReasonCode, *_more: Any) -> None:
        self._acks.append(Acked(self.name, mid, code.value if self._five else 0))

    def _on_acked(self, mid: int) -> None:
        self._acks.append(Acked(self.name, mid, 0))

    def _on_message(self, _client: paho.Client, _: Any, message: paho.MQTTMessage) -> None:
        topic = self._topics.get(message.topic)
        if topic is None:
            return  # of a neighbour that the config had once: the broker remembers
        replayed = ("replayed", "1") in getattr(message.properties, "UserProperty", ())
        # One byte more than is read is enough to refuse it; a queue of huge ones would be all memory there is.
        payload = bytes(message.payload[: PAYLOAD_BYTES_MAX + 1])
        self._answer(Arrived(self.name, topic, payload, message.retain, replayed))


def probe(link: "Link", number: int, answer: Callable[[Answered], None]) -> None:
    """Finds out in a thread of its own whether somebody is there, by a TCP and TLS handshake, and answers."""
    threads.start(lambda: answer(Answered(number, _probe(link))), f"probe-{link.host}")


def _probe(link: "Link") -> str:
    """Why nobody is there; "" when somebody is."""
    try:
        with socket.create_connection((link.host, link.port), timeout=CONNECT_TIMEOUT_S) as plain:
            if link.tls:
                with _tls(link).wrap_socket(plain, server_hostname=link.host) as wrapped, suppress(TimeoutError):
                    wrapped.settimeout(REFUSAL_S)
                    wrapped.recv(1)  # TLS 1.3 refuses a client's certificate after the handshake
    except (OSError, ValueError) as error:
        return f"{link.host}:{link.port}: {link_error(error)}"
    return ""


class _Courtesy(Properties):
    """Properties of a PUBLISH, packed once: paho takes as long for that as for the rest of a message."""

    def __init__(self, part: str, *, expires: bool, replayed: bool) -> None:
        super().__init__(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        self.ContentType = CONTENT_TYPES[part]
        if expires:
            self.MessageExpiryInterval = EVENT_EXPIRY_S
        if replayed:
            self.UserProperty = ("replayed", "1")
        packed = super().pack()  # type: ignore[no-untyped-call]
        object.__setattr__(self, "_packed", packed)  # paho knows no other names than its own

    def pack(self) -> bytes:
        packed: bytes = object.__getattribute__(self, "_packed")
        return packed


_courtesy: Final = cache(_Courtesy)
"""There are four of them."""


def _leave_writing_to_the_loop(*_: Any) -> None:
    """paho's hook for foreign event loops: with it set, only our loop writes, woken by `Session.flush`."""


def _tune(_client: paho.Client, _userdata: Any, sock: Any) -> None:
    """Small messages at once; a dead line found by TCP itself."""
    with suppress(OSError), socket.socket(fileno=os.dup(sock.fileno())) as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)


class _TellingSocket(ssl.SSLSocket):
    """Keeps why it broke: in TLS 1.3 a client certificate is refused after the handshake, and paho drops the reason."""

    broke: ssl.SSLError | None = None

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        try:
            return super().recv(buflen, flags)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            self.broke = error
            raise


def _tls(link: "Link") -> ssl.SSLContext:
    """The broker's certificate must come from `ca` and name the host. Raises OSError, ssl.SSLError."""
    context = ssl.create_default_context(cafile=link.ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslsocket_class = _TellingSocket
    if link.cert is not None:
        context.load_cert_chain(link.cert, link.key)
    return context


def _secret(path: Path | None) -> str | None:
    return None if path is None else path.read_text(encoding="utf-8").strip()
