"""The ThingsBoard gateway (PyPI: thingsboard-gateway) with its persistent storage, sqlite, in a venv of its own.

Events come in by its MQTT connector from a mosquitto beside it, which is one of its plainest. Its server is a far
mosquitto: the gateway needs no more of one than a broker that takes its telemetry, and somebody who answers
`getSessionLimits`. Settings are those of its own example files, but for what would hold it back: limits of rate are
off, and packs may be as large as a server takes. Each event has a millisecond of its own, since a server keeps one
value a key and millisecond.
"""

import json
import os
import signal
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from itertools import count
from pathlib import Path
from subprocess import Popen

from real_box import until

from bench import load
from bench.bare import Client
from bench.packets import RawClient
from bench.peers import QUIET_S, Peer, far_broker, singles
from bench.sink import Sink
from simulators.broker import Broker
from simulators.process import spawn

PROGRAM = Path(".cache/thingsboard/bin/thingsboard-gateway")
"""Where `make` puts it, from the project's folder."""
TOKEN, TELEMETRY = "bench", "v1/gateway/telemetry"
FIRST_MS = 1_790_000_000_000
TAKEN_IN_S = 600.0
CALM_S, CALM_SHARE = 3.0, 0.25
"""It is no longer busy when it used less than this share of a core for so long."""
ASKED, ANSWERED = "v1/devices/me/rpc/request/", "v1/devices/me/rpc/response/"
PACK_BYTES = 65_536
LIMITS = {
    "maxPayloadSize": PACK_BYTES,
    "maxInflightMessages": 1000,
    "rateLimits": {"messages": "0:0,"},
    "gatewayRateLimits": {"messages": "0:0,"},
}
ACL = f"""\
topic readwrite #
user {TOKEN}
topic write v1/#
topic read {ANSWERED}#
"""
"""The far broker tells the gateway nothing that it said itself, as a ThingsBoard would not."""


def _settings(directory: Path, far_port: int) -> dict[str, object]:
    return {
        "thingsboard": {
            "host": "127.0.0.1",
            "port": far_port,
            "remoteShell": False,
            "remoteConfiguration": False,
            "statistics": {"enable": False, "statsSendPeriodInSeconds": 3600},
            "deviceFiltering": {"enable": False, "filterFile": "list.json"},
            "maxPayloadSizeBytes": PACK_BYTES,
            "minPackSendDelayMS": 50,
            "minPackSizeToSend": 500,
            "checkConnectorsConfigurationInSeconds": 60,
            "handleDeviceRenaming": True,
            "security": {"type": "accessToken", "accessToken": TOKEN},
            "qos": 1,
            "reportStrategy": {"type": "DISABLED"},
            "checkingDeviceActivity": {"checkDeviceInactivity": False},
            **dict.fromkeys(["rateLimits", "dpRateLimits", "messagesRateLimits"], "0:0,"),
            **dict.fromkeys(["deviceMessagesRateLimits", "deviceRateLimits", "deviceDpRateLimits"], "0:0,"),
        },
        "storage": {
            "type": "sqlite",
            "data_file_path": f"{directory}/data/",
            "max_read_records_count": 1000,
            "messages_ttl_check_in_hours": 1,
            "messages_ttl_in_days": 7,
        },
        "grpc": {"enabled": False},
        "connectors": [{"name": "near", "type": "mqtt", "configuration": "mqtt.json"}],
    }


def _connector(near_port: int) -> dict[str, object]:
    def mapped(topic: str, key: str) -> dict[str, object]:
        return {
            "topicFilter": topic,
            "subscriptionQos": 1,
            "converter": {
                "type": "json",
                "deviceInfo": {
                    "deviceNameExpressionSource": "constant",
                    "deviceNameExpression": "box-1",
                    "deviceProfileExpressionSource": "constant",
                    "deviceProfileExpression": "default",
                },
                "timeout": 60000,
                "attributes": [],
                "timeseries": [{"type": "string", "key": key, "value": "${event}"}],
            },
        }

    return {
        "broker": {
            "host": "127.0.0.1",
            "port": near_port,
            "clientId": "gateway",
            "version": 5,
            "maxMessageNumberPerWorker": 10,
            "maxNumberOfWorkers": 100,
            "security": {"type": "anonymous"},
        },
        "mapping": [mapped(load.SCANS, "event/scan"), mapped(load.ALARMS, "event/alarm")],
        "requestsMapping": {},
    }


LOGS = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler", "level": "WARNING", "stream": "ext://sys.stdout"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {},
}


class _Gateway:
    def __init__(self, directory: Path, far: Broker, near: Broker, sink: Sink, client: RawClient) -> None:
        self.sink, self._far, self._client, self._directory = sink, far, client, directory
        self._heard = directory / "near" / "subscriptions.log"
        self._numbers = count(FIRST_MS)
        self._process: Popen[bytes] | None = None
        program = PROGRAM.absolute()
        if not program.exists():
            raise FileNotFoundError(f"{program}: thingsboard-gateway is not installed there")
        self._argv = [str(program)]
        for name, what in [
            ("tb_gateway.json", _settings(directory, far.port)),
            ("mqtt.json", _connector(near.port)),
            ("logs.json", LOGS),
        ]:
            (directory / name).write_text(json.dumps(what))
        self._server: Client | None = self._join_server()

    def start(self) -> None:
        environment = {"TB_GW_CONFIG_DIR": str(self._directory), "PATH": "/usr/bin:/bin", "HOME": str(self._directory)}
        subscriptions = self._heard.read_text().count(load.ALARMS)
        self._process = spawn(["env", "-C", str(self._directory), *self._argv], self._directory / "log", environment)
        until(lambda: self._heard.read_text().count(load.ALARMS) > subscriptions, "its connector has subscribed")

    def kill(self) -> None:
        """As a power cut does."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        self.kill()
        self._leave_server()

    def cut(self) -> None:
        self._leave_server()
        self._far.stop()

    def restore(self) -> None:
        """The gateway is frozen until the far end is complete: a ThingsBoard does not let one in before it answers."""
        if self._process:
            self._process.send_signal(signal.SIGSTOP)
        self._far.start()
        self._server = self._join_server()
        self.sink.subscribed()
        if self._process:
            self._process.send_signal(signal.SIGCONT)

    def fill(self, events: Sequence[bytes]) -> None:
        self.offer(events)
        if (stored := self._stored()) < len(events):
            raise ValueError(f"the gateway has stored {stored} of {len(events)} events")

    def offer(self, events: Sequence[bytes]) -> None:
        """Gives it events, and waits until it is no longer busy with them."""
        self._client.publish_all(load.SCANS, [self._wrapped(event) for event in events])
        calm_since_s, busy_s = time.monotonic(), self._busy_s()

        def calm() -> bool:
            nonlocal calm_since_s, busy_s
            now_s, now_busy_s = time.monotonic(), self._busy_s()
            if now_s - calm_since_s < CALM_S:
                return False
            is_calm = now_busy_s - busy_s < CALM_SHARE * (now_s - calm_since_s)
            calm_since_s, busy_s = now_s, now_busy_s
            return is_calm

        until(calm, "the gateway has taken them in", TAKEN_IN_S)

    def hand(self, alarm: bytes) -> None:
        self._client.publish(load.ALARMS, self._wrapped(alarm))

    def pids(self) -> list[int]:
        assert self._process is not None
        return [self._process.pid]

    def _join_server(self) -> Client:
        def answer(topic: str, _question: bytes, _now_s: float) -> None:
            server.paho.publish(ANSWERED + topic.removeprefix(ASKED), json.dumps(LIMITS), 1)

        server = Client(self._far.port, f"{ASKED}+", answer)
        return server

    def _leave_server(self) -> None:
        if self._server:
            self._server.close()
            self._server = None

    def _busy_s(self) -> float:
        """Processor time it has used."""
        fields = Path(f"/proc/{self.pids()[0]}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _stored(self) -> int:
        """How many rows its storage has."""
        rows = 0
        for file in (self._directory / "data").glob("*.db"):
            with suppress(sqlite3.OperationalError), closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as db:
                rows += db.execute("SELECT count(*) FROM messages").fetchone()[0]
        return rows

    def _wrapped(self, event: bytes) -> bytes:
        return json.dumps({"ts": next(self._numbers), "event": event.decode()}).encode()


@contextmanager
def gateway(directory: Path) -> Iterator[Peer]:
    """The gateway with its two brokers."""
    with _offline(directory) as peer:
        peer.start()
        yield peer


def loss(events: int, *, booted_offline: bool, killed: bool) -> int:
    """How many of so many events never come, when the far end is away while the gateway takes them in.

    booted_offline: it was away already when the gateway started. killed: by SIGKILL, once the gateway has nothing more
    to do with them and before the far end is back; then it is started again.
    """
    with tempfile.TemporaryDirectory(prefix="callbox-peer-") as directory, _offline(Path(directory)) as peer:
        if booted_offline:
            peer.cut()
        peer.start()
        if not booted_offline:
            singles(peer, 1)
            peer.cut()
        peer.sink.reset()
        peer.offer(load.backlog(events))
        if killed:
            peer.kill()
        peer.restore()
        if killed:
            peer.start()
        return events - peer.sink.settled(events, QUIET_S).events


@contextmanager
def _offline(directory: Path) -> Iterator[_Gateway]:
    """All but the gateway itself runs."""
    acl = directory / "acl"
    acl.write_text(ACL)
    log = [f"log_dest file {directory}/near/subscriptions.log", "log_type subscribe"]
    with ExitStack() as stack:
        far, sink = stack.enter_context(far_broker(directory, [TELEMETRY], [f"acl_file {acl}"]))
        near = stack.enter_context(Broker(directory=directory / "near", config=log))
        client = stack.enter_context(RawClient(near.port))
        peer = _Gateway(directory, far, near, sink, client)
        stack.callback(peer.close)
        yield peer
