"""Central's connection to the broker: the one file that knows paho. Its callbacks only fill the mailbox."""

import logging
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

log = logging.getLogger("central")
KEEPALIVE_S = 20
RETRY_S = 1.0
SESSION_EXPIRY_S = 7 * 24 * 3600
WRONG_PROTOCOL = 0x84
TOPICS = ("callbox/1/+/+/event/#", "callbox/1/+/+/batch/#", "callbox/1/+/+/state", "callbox/1/+/+/media/#")


@dataclass(frozen=True, slots=True)
class Message:
    """From the broker. generation: which connection it came over; only there may it be acknowledged."""

    topic: str
    payload: bytes
    retain: bool
    mid: int
    generation: int


@dataclass(frozen=True, slots=True)
class Link:
    """The connection to the broker came (up) or went."""

    up: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """The broker's PUBACK of our publish `mid`; reason: empty, or why nobody got it."""

    mid: int
    reason: str


News = Message | Link | Answer


class Broker:
    """A persistent session with acknowledgement by hand. Reconnects by itself until `stop`.

    It speaks MQTT 5, and 3.1.1 where 5 was refused or hung up on; then a PUBACK says nothing (`Answer.reason`), and
    commands do not expire at the broker, only at the box.
    """

    def __init__(self, url: str, client_id: str) -> None:
        """url: mqtt://[user:password@]host[:port]. Raises ValueError for another kind."""
        parts = urlsplit(url)
        if parts.scheme != "mqtt" or not parts.hostname:
            raise ValueError(f"broker {url!r}: mqtt://HOST:PORT is wanted")
        self._host, self._port = parts.hostname, parts.port or 1883
        self._generation = 0
        self._post: Callable[[News], None] = lambda _: None
        self._user, self._password = parts.username, parts.password
        self._client_id = client_id
        self._five, self._answered = True, False
        self._stopping = threading.Event()
        self._client = self._make_client()

    def start(self, post: Callable[[News], None]) -> None:
        """Connects, and goes on trying. post: takes what comes, from paho's thread."""
        self._post = post
        self._dial()

    def stop(self) -> None:
        """Takes leave of the broker, which keeps the session."""
        self._stopping.set()
        client = None
        while client is not self._client:  # its thread may just be making the next one
            client = self._client
            client.disconnect()
            client.loop_stop()

    @property
    def connected(self) -> bool:
        return self._client.is_connected()

    def publish(self, topic: str, payload: bytes, expires_s: float | None = None) -> int | None:
        """QoS 1, not retained; the packet's id, or None when there is no connection."""
        if not self.connected:
            return None
        properties = None
        if self._five and expires_s is not None:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.MessageExpiryInterval = int(expires_s)
        return self._client.publish(topic, payload, qos=1, properties=properties).mid

    def acknowledge(self, mid: int, generation: int) -> None:
        """The message is on the disk. A new connection counts packet ids anew, so an older one's are not acknowledged:
        the broker sends those messages again."""
        if generation == self._generation and mid:
            self._client.ack(mid, 1)

    def restart(self) -> None:
        """Drops the connection; paho makes a new one, and the broker sends again what was not acknowledged."""
        sock = self._client.socket()
        if isinstance(sock, socket.socket):
            sock.shutdown(socket.SHUT_RDWR)

    def _make_client(self) -> mqtt.Client:
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            clean_session=None if self._five else False,
            protocol=mqtt.MQTTv5 if self._five else mqtt.MQTTv311,
            manual_ack=True,
        )
        if self._user:
            client.username_pw_set(unquote(self._user), unquote(self._password or ""))
        client.suppress_exceptions = True
        client.reconnect_delay_set(1, 10)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_socket_open = self._on_socket_open
        return client

    def _dial(self) -> None:
        if self._five:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = SESSION_EXPIRY_S
            self._client.connect_async(self._host, self._port, KEEPALIVE_S, clean_start=False, properties=properties)
        else:
            self._client.connect_async(self._host, self._port, KEEPALIVE_S)
        self._client.loop_start()

    def _on_socket_open(self, _client: mqtt.Client, _data: Any, sock: Any) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 10_000)

    def _on_connect(self, client: mqtt.Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any) -> None:
        self._answered = reason.value != WRONG_PROTOCOL
        if reason.is_failure:
            log.warning("broker %s:%d refuses the connection: %s", self._host, self._port, reason)
            return
        self._generation += 1
        client.subscribe([(topic, 1) for topic in TOPICS])
        self._post(Link(up=True))

    def _on_disconnect(
        self, client: mqtt.Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any
    ) -> None:
        log.warning("broker %s:%d: connection ended: %s", self._host, self._port, reason)
        self._post(Link(up=False))
        five, self._answered = self._answered or not self._five, False
        if five != self._five and not self._stopping.wait(RETRY_S):
            client.loop_stop()  # its thread, which is this one, ends after it; the next client has its own
            self._five = five
            self._client = self._make_client()
            self._dial()

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        topic = message._topic.decode("utf-8", "replace")
        self._post(
            Message(topic, bytes(message.payload), message.retain, message.mid if message.qos else 0, self._generation)
        )

    def _on_publish(self, _client: mqtt.Client, _data: Any, mid: int, reason: ReasonCode, _properties: Any) -> None:
        unheard = reason.is_failure or reason.value == 0x10  # 0x10: nobody is subscribed
        self._post(Answer(mid, str(reason) if unheard else ""))
