"""The demo's box: simulated hardware around a real `callbox run`, its link and its power switch."""

import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from simulators.board import Board
from simulators.line import LinePanel
from simulators.process import spawn, stop
from simulators.wan import Wan

CALLBOX = [sys.executable, "-P", "-c", "import sys; from agent.cli import main; sys.exit(main())"]

Watcher = Callable[[dict[str, Any]], None]


class DemoBox:
    """What the page's simulated box shows and switches. Methods may be called from any thread.

    config: the box's, as read from YAML; file: where the same stands for the box. The box starts without power.
    """

    def __init__(self, config: dict[str, Any], file: Path, board: Board, panel: LinePanel, wan: Wan) -> None:
        self.log = file.with_name("box.log")
        self.armed = threading.Event()
        """Since the box has told that it is ready, until its power goes."""
        self._file, self._board, self._panel, self._wan = file, board, panel, wan
        self._gpio = {driver["id"] for driver in config["drivers"] if driver["type"] == "gpio"}
        self._inputs: dict[str, dict[str, Any]] = {entry["id"]: entry for entry in config["inputs"]}
        self.lamps: dict[int, str] = {entry["pin"]: entry["color"] for entry in config["outputs"]}
        """Pin to color."""
        self._lit = dict.fromkeys(self.lamps.values(), False)
        self._down = {entry["id"]: False for entry in config["inputs"] if entry["kind"] not in ("scan", "patrol")}
        self._watchers: list[Watcher] = []
        self._switch = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._notified: socket.socket | None = None
        for name, entry in self._inputs.items():
            if entry["driver"] in self._gpio:
                self._set_input(name, down=False)
        board.watch(self._level_changed)

    def inputs(self) -> list[dict[str, str]]:
        """{"id", "kind"} of each, in the order of the config."""
        return [{"id": name, "kind": entry["kind"]} for name, entry in self._inputs.items()]

    def press(self, input: str, down: bool) -> None:
        """Holds a button or lets it go, opens or closes a contact. Raises KeyError for what is no such input."""
        if self._down[input] != down:
            self._set_input(input, down)
            self._down[input] = down
            self._tell()

    def scan(self, code: str) -> None:
        """The scanner reads a code, whatever is in it."""
        scanner = next(entry for entry in self._inputs.values() if entry["kind"] == "scan")
        self._panel.send(_line(scanner["pressed"], code))

    def set_link(self, up: bool) -> None:
        """Restores or cuts the link."""
        if up:
            self._wan.restore()
        else:
            self._wan.cut()
        self._tell()

    def set_power(self, on: bool) -> None:
        """off: SIGKILL, and the lamps are dark. on: starts; `armed` says when it is ready."""
        with self._switch:
            if on and not self._running():
                self._start()
            elif not on and self._process:
                self._process.kill()
                self._process.wait()
                self._gone()
        self._tell()

    def stop(self) -> int | None:
        """Stops the box as systemd does; its exit code, None when it had no power."""
        with self._switch:
            code = stop(self._process) if self._process and self._running() else None
            self._gone()
            return code

    def state(self) -> dict[str, Any]:
        """{"power", "link", "outputs": {color: lit}, "inputs": {id: pressed}}."""
        return {
            "power": self._running(),
            "link": self._wan.mode == "up",
            "outputs": dict(self._lit),
            "inputs": dict(self._down),
        }

    def watch(self, callback: Watcher) -> None:
        """`callback(state)` from now on at each change, in the thread where it happens."""
        self._watchers.append(callback)

    def _tell(self) -> None:
        state = self.state()
        for watcher in self._watchers:
            watcher(state)

    def _set_input(self, name: str, down: bool) -> None:
        entry = self._inputs[name]
        if entry["driver"] in self._gpio:
            # to ground through the contact, else to the resistor
            low: Literal[0, 1] = 0 if entry.get("pull", "up") == "up" else 1
            closed = down == (entry.get("normally", "open") == "open")
            self._board.drive(entry["pin"], low if closed else (1 if low == 0 else 0))
        else:
            self._panel.send(_line(entry["pressed" if down else "released"]))

    def _level_changed(self, pin: int, level: int, _t: float) -> None:
        if pin in self.lamps:
            self._lit[self.lamps[pin]] = bool(level)
            self._tell()

    def _running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _start(self) -> None:
        path = self._file.with_name("notify")
        path.unlink(missing_ok=True)
        self._notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notified.bind(str(path))
        env = {key: value for key, value in os.environ.items() if not key.startswith("WATCHDOG_")} | {
            "GPIOZERO_PIN_FACTORY": "callbox-sim",
            "CALLBOX_SIM_BOARD": str(self._board.path),
            "NOTIFY_SOCKET": str(path),
        }
        self._process = process = spawn([*CALLBOX, "run", "--config", str(self._file)], self.log, env)
        threading.Thread(target=self._listen, args=(self._notified,), name="notify", daemon=True).start()
        threading.Thread(target=self._mourn, args=(process,), name="box", daemon=True).start()

    def _listen(self, notified: socket.socket) -> None:
        """systemd's part of sd_notify(3)."""
        with notified, suppress(OSError):
            while message := notified.recv(4096):
                if b"READY=1" in message.split(b"\n") and notified is self._notified:
                    self.armed.set()

    def _mourn(self, process: subprocess.Popen[bytes]) -> None:
        """A box that dies by itself is shown as one without power."""
        process.wait()
        with self._switch:
            ours = process is self._process
            if ours:
                self._gone()
        if ours:
            self._tell()

    def _gone(self) -> None:
        self._process = None
        self.armed.clear()
        if self._notified:
            with suppress(OSError):
                self._notified.shutdown(socket.SHUT_RD)  # ends `_listen`
            self._notified = None
        for pin in self.lamps:
            self._board.release(pin)


def _line(pattern: str, code: str = "") -> bytes:
    """The line that a pattern of the demo's config matches: plain text, and a group for the code."""
    return re.sub(r"\(\?P<code>[^)]*\)", lambda _: code, pattern.strip("^$")).encode() + b"\r\n"
