"""A box with all that hangs on it, for `callbox-sim play`: broker, central, a bad link, a board, and simulated wires.

Every wire is `callbox-sim` itself in a process of its own, as a tester would start it: its port is the first line that
it prints, and it is told what to do over its stdin.
"""

import json
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import IO, Any, cast

import paho.mqtt.publish as mqtt_publish
import yaml
from paho.mqtt.enums import MQTTProtocolVersion

from simulators.board import Board
from simulators.broker import Broker
from simulators.central import wire
from simulators.central.server import OPERATOR, Central
from simulators.demo_box import CALLBOX
from simulators.process import spawn, stop
from simulators.wan import Wan

SIM = [sys.executable, "-P", "-c", "import sys; from simulators.cli import main; sys.exit(main())"]
MAY = ["acknowledge", "close", "resend", "test", "capture", "output", "list"]
ARMED = "INFO armed:"
EXPIRES_S = 600.0


class Wire:
    """One simulator on a pty, behind a name that stays when it is unplugged. Raises OSError when it does not begin."""

    def __init__(self, words: Sequence[str], link: Path) -> None:
        words = [*words, "--link", str(link)]
        self._process = subprocess.Popen([*SIM, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._stdin, self._stdout = cast(IO[str], self._process.stdin), cast(IO[str], self._process.stdout)
        self.port = self._stdout.readline().strip()
        if not self.port:
            raise OSError(f"callbox-sim {' '.join(words)}: it ended with {self._process.wait()}")
        threading.Thread(target=self._drain, daemon=True).start()

    def tell(self, line: str) -> None:
        """One line of its stdin."""
        self._stdin.write(f"{line}\n")
        self._stdin.flush()

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()

    def _drain(self) -> None:
        for _ in self._stdout:
            pass


class Stage:
    """Everything, started, with its files in `directory`; `stack` stops it. Raises BrokerError, OSError.

    config: the box's, without what only we can know: state_dir, links, ports, central_key, operators.
    wires: words of callbox-sim by the id of the driver that hangs on it. neighbours: boxes whose alarms are told here.
    """

    def __init__(
        self, stack: ExitStack, directory: Path, config: dict[str, Any], wires: Mapping[str, Sequence[str]]
    ) -> None:
        self.directory, self.config = directory, config
        self.store, self.state_dir = directory / "central.db", directory / "state"
        self.broker = stack.enter_context(Broker(directory=directory))
        self.wan = stack.enter_context(Wan(0, ("127.0.0.1", self.broker.port)))
        self.board = stack.enter_context(Board(directory / "board"))
        self.lit: dict[int, bool] = {}
        self.board.watch(lambda pin, level, _at_s: self.lit.__setitem__(pin, bool(level)))
        self.wires: dict[str, Wire] = {}
        for name, words in wires.items():
            self.wires[name] = Wire(words, directory / f"{name}.tty")
            stack.callback(self.wires[name].close)
        self._operator = wire.load_key(directory / "operator.pem")
        central = wire.load_key(directory / "central.pem")
        config["state_dir"] = str(self.state_dir)
        config["links"] = [{"url": f"mqtt://127.0.0.1:{self.wan.port}"}]
        config["central_key"] = wire.public(central)
        config["operators"] = [{"name": OPERATOR, "key": wire.public(self._operator), "may": MAY}]
        for driver in config["drivers"]:
            if driver["id"] in self.wires:
                driver["port"] = self.wires[driver["id"]].port
        for entry in config.get("neighbours", ()):
            entry["key"] = wire.public(wire.load_key(directory / f"{entry['box']}.pem"))
        for entry in config["inputs"]:
            if "pin" in entry:
                self.contact(entry["id"], False)
        self._file = directory / "box.yaml"
        self._file.write_text(yaml.safe_dump(config, allow_unicode=True, sort_keys=False), encoding="utf-8")
        self.name = f"{config['box']['site']}/{config['box']['id']}"
        self.central = Central(
            f"mqtt://127.0.0.1:{self.broker.port}",
            self.store,
            0,
            directory / "operator.pem",
            directory / "central.pem",
        )
        self.central.start()
        stack.callback(self.central.stop)
        self._process: subprocess.Popen[bytes] | None = None
        stack.callback(self.power_off)
        self._runs = 0

    # ---- the box

    @property
    def log(self) -> Path:
        """Of this run of the box."""
        return self.directory / f"box-{self._runs}.log"

    def power_on(self) -> None:
        """Starts it; `armed` says when it is ready."""
        self._runs += 1
        mine = {"GPIOZERO_PIN_FACTORY": "callbox-sim", "CALLBOX_SIM_BOARD": str(self.board.path)}
        self._process = spawn([*CALLBOX, "run", "--config", str(self._file)], self.log, os.environ | mine)

    def armed(self) -> bool:
        """Raises OSError when it has ended by itself."""
        said = self.log.read_text(errors="replace") if self.log.exists() else ""
        if self._process is not None and (code := self._process.poll()) is not None:
            raise OSError(f"callbox run: it ended with {code}: {said[-500:]}")
        return ARMED in said

    def cut_power(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def power_off(self) -> None:
        """As systemd stops it."""
        if self._process is not None and self._process.poll() is None:
            stop(self._process)

    # ---- hands

    def contact(self, name: str, active: bool) -> None:
        """A contact on the board. Raises KeyError for what is none."""
        entry = next(entry for entry in self.config["inputs"] if entry["id"] == name)
        ground = entry.get("pull", "up") == "up"
        closed = active == (entry.get("normally", "open") == "open")
        self.board.drive(entry["pin"], 0 if closed == ground else 1)

    def is_lit(self, output: str) -> bool:
        """Raises StopIteration for what is no output."""
        entry = next(entry for entry in self.config["outputs"] if entry["id"] == output)
        return self.lit.get(entry["pin"], False)

    def command(self, verb: str, data: dict[str, Any]) -> None:
        """Signed by the duty desk."""
        _, payload = wire.command(verb, self.name, data, OPERATOR, EXPIRES_S, self._operator)
        self._publish(f"callbox/1/{self.name}/command", payload)

    def neighbour(self, box: str, event: dict[str, Any], *, forged: bool) -> None:
        """An alarm of another box of the site, by its key; forged: by a key that is not."""
        key = wire.load_key(self.directory / ("thief.pem" if forged else f"{box}.pem"))
        site = self.config["box"]["site"]
        self._publish(f"callbox/1/{site}/{box}/event/alarm", wire.signed(event, key))

    def _publish(self, topic: str, payload: bytes) -> None:
        mqtt_publish.single(
            topic, payload, qos=1, hostname="127.0.0.1", port=self.broker.port, protocol=MQTTProtocolVersion.MQTTv5
        )

    # ---- what is seen

    def recorded(self) -> list[dict[str, Any]]:
        """The events in the box's journal, oldest first."""
        file = self.state_dir / "journal.db"
        if not file.exists():
            return []
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as db:
            return [json.loads(body) for [body] in db.execute("SELECT body FROM events ORDER BY seq")]

    def key(self) -> str:
        """The box's public key, as it has told central."""
        with closing(sqlite3.connect(f"file:{self.store}?mode=ro", uri=True)) as db:
            return str(db.execute("SELECT key FROM boxes WHERE box=?", [self.name]).fetchone()[0])

    def stored(self) -> list[tuple[str, str, bytes]]:
        """(box, class, payload) of each event at central, in the order of its boxseq."""
        with closing(sqlite3.connect(f"file:{self.store}?mode=ro", uri=True)) as db:
            query = "SELECT box, class, payload FROM events WHERE box=? ORDER BY seq"
            return db.execute(query, [self.name]).fetchall()
