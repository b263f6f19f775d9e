"""An MQTT broker as a process of its own, so that it can be killed: mosquitto, else the embedded rumqttd of iotcore.

What the embedded one cannot (rumqttd 0.20, tried): MQTT 3.1.1 beside 5, persistence over a restart, client
certificates, the reason code "no matching subscribers" (0x10), ACLs. Asking it for one of these is an error.
"""

import argparse
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from os import geteuid
from pathlib import Path
from random import SystemRandom
from shutil import which
from time import monotonic
from typing import Any, Self

from agent.text import t
from simulators.process import spawn, stop, tail, until_stopped

READY_S = 10.0
PORTS = 10_000, 32_768
# CONNECT of MQTT 5: keepalive 5 s, clean start, no properties, client id "ready"
CONNECT = b"\x10\x12\x00\x04MQTT\x05\x02\x00\x05\x00\x00\x05ready"
# the same in 3.1.1
CONNECT_3_1_1 = b"\x10\x11\x00\x04MQTT\x04\x02\x00\x05\x00\x05ready"
DISCONNECT = b"\xe0\x00"
CONNACK = 0x20

RUMQTTD = """\
id = 0
[router]
id = 0
max_connections = 1000
max_outgoing_packet_count = 200
max_segment_size = 10485760
max_segment_count = 10
[v5.1]
name = "v5"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1
{tls}
[v5.1.connections]
connection_timeout_ms = 60000
max_payload_size = {max_packet_bytes}
max_inflight_count = 1000
"""


@dataclass(frozen=True)
class Tls:
    """PEM files. With `require_certificate` only clients with a certificate of `cafile` come in."""

    cafile: Path
    certfile: Path
    keyfile: Path
    require_certificate: bool = False


class BrokerError(Exception):
    """The broker did not come up, or was asked for what it cannot."""


def mosquitto() -> str | None:
    """The path of mosquitto; Debian puts it where ordinary users do not look."""
    return which("mosquitto") or which("mosquitto", path="/usr/sbin:/usr/local/sbin")


class Broker:
    """One broker on 127.0.0.1; it may be started again after `stop` and `kill`, on the same port and directory.

    port: 0 for a free one (`port` tells). directory: for its config, log and store; a temporary one when None.
    embedded: None takes mosquitto if the machine has it. persistence: mosquitto's store on disk (default: in memory).
    tls: TLS instead of plain TCP. max_packet_bytes: larger packets are refused, as CONNACK of MQTT 5 says.
    config: more lines for mosquitto.conf. Raises BrokerError.
    """

    # what a broker of another kind has its own way, beside `_argv`
    connect = CONNECT
    ready_s = READY_S
    environment: Mapping[str, str] | None = None  # None: ours

    def __init__(
        self,
        port: int = 0,
        directory: Path | None = None,
        *,
        embedded: bool | None = None,
        persistence: bool = False,
        tls: Tls | None = None,
        max_packet_bytes: int | None = None,
        config: Sequence[str] = (),
    ) -> None:
        self.port = port or free_port()
        self._temporary = None if directory else tempfile.TemporaryDirectory(prefix="callbox-broker-")
        self.directory = directory or Path(self._temporary.name if self._temporary else "")
        self.program = None if embedded else mosquitto()
        if embedded is False and self.program is None:
            raise BrokerError(t("sim.broker.no_mosquitto"))
        if self.program is None and not find_spec("iotcore"):
            raise BrokerError(t("sim.broker.none"))
        if self.program is None and (persistence or config or (tls and tls.require_certificate)):
            raise BrokerError(t("sim.broker.cannot"))
        self.log = self.directory / "broker.log"
        self._persistence, self._tls, self._config = persistence, tls, config
        self._max_packet_bytes = max_packet_bytes
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def embedded(self) -> bool:
        """It is rumqttd, not mosquitto."""
        return self.program is None

    @property
    def pid(self) -> int | None:
        """The process that runs, or None."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> None:
        """Returns when it has accepted an MQTT connection; with `tls`, when it has answered a TLS handshake.

        Does nothing while it runs. Raises BrokerError, with the end of its log, when it has not within `ready_s`.
        """
        if self.pid:
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        self._process = spawn(self._argv(), self.log, self.environment)
        deadline_s = monotonic() + self.ready_s
        pause = threading.Event()
        while (problem := self._probe()) is not None:
            gone = self._process.poll() is not None
            if gone or monotonic() > deadline_s:
                self.kill()
                raise BrokerError(t("sim.broker.failed", port=self.port, found=problem, log=tail(self.log)))
            pause.wait(0.02)

    def stop(self) -> None:
        """Clean: mosquitto saves what it persists. Does nothing when it does not run."""
        if self._process:
            stop(self._process)
            self._process = None

    def kill(self) -> None:
        """SIGKILL: what it held in memory is gone."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _argv(self) -> list[str]:
        """The command, after its config is written."""
        if self.program:
            config = self.directory / "mosquitto.conf"
            config.write_text("\n".join(self._mosquitto_lines()) + "\n")
            return [self.program, "-c", str(config)]
        config = self.directory / "rumqttd.toml"
        config.write_text(self._rumqttd())
        return [sys.executable, "-P", "-m", "iotcore", "--log-level", "WARNING", "--config", str(config)]

    def _mosquitto_lines(self) -> list[str]:
        lines = [
            "per_listener_settings false",
            "allow_anonymous true",
            "set_tcp_nodelay true",
            "max_queued_messages 0",  # no limit
            "log_dest stdout",
            "log_timestamp_format %Y-%m-%dT%H:%M:%S",
            f"persistence {str(self._persistence).lower()}",
            f"persistence_location {self.directory}/",
        ]
        if geteuid() == 0:
            lines.append("user root")  # else it gives up root, and with it our directory
        if self._max_packet_bytes:
            lines.append(f"max_packet_size {self._max_packet_bytes}")
        lines.append(f"listener {self.port} 127.0.0.1")
        if self._tls:
            lines += [
                f"cafile {self._tls.cafile}",
                f"certfile {self._tls.certfile}",
                f"keyfile {self._tls.keyfile}",
                f"require_certificate {str(self._tls.require_certificate).lower()}",
            ]
        return [*lines, *self._config]

    def _rumqttd(self) -> str:
        tls = ""
        if self._tls:
            tls = f'[v5.1.tls]\ncertpath = "{self._tls.certfile}"\nkeypath = "{self._tls.keyfile}"'
        return RUMQTTD.format(port=self.port, tls=tls, max_packet_bytes=self._max_packet_bytes or 268435455)

    def _probe(self) -> str | None:
        """None when it answers, else what happened instead."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as plain:
                if self._tls:
                    context = ssl.create_default_context(cafile=self._tls.cafile)
                    context.check_hostname = False
                    with context.wrap_socket(plain) as wrapped:
                        if self._tls.require_certificate:
                            return None  # it asked for ours, which we do not have
                        return self._connack(wrapped)
                return self._connack(plain)
        except OSError as error:
            return str(error)

    def _connack(self, connection: socket.socket) -> str | None:
        connection.sendall(self.connect)
        answer = connection.recv(64)
        connection.sendall(DISCONNECT)
        return None if answer[:1] == bytes([CONNACK]) else f"answered {answer!r} to CONNECT"


def free_port() -> int:
    """A TCP port that is free now, below those that the kernel gives to whoever connects: none of these may take it."""
    while True:
        port = SystemRandom().randrange(*PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("", port))
            return port


def add_command(commands: Any) -> None:
    """Registers `callbox-sim broker`."""
    parser = commands.add_parser("broker", help=t("sim.help.broker"), description=t("sim.help.broker"))
    parser.add_argument("--port", type=int, required=True, metavar="N")
    parser.add_argument("--embedded", action="store_true", default=None, help=t("sim.broker.embedded"))
    parser.set_defaults(func=_run)


def _run(args: argparse.Namespace) -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with Broker(args.port, embedded=args.embedded) as broker:
            name = "rumqttd" if broker.embedded else "mosquitto"
            print(t("sim.broker.up", name=name, url=f"mqtt://127.0.0.1:{broker.port}", log=broker.log), flush=True)
            until_stopped()
    except BrokerError as error:
        print(error, file=sys.stderr)
        return 1
    return 0
