"""What a start costs, and a box at which nothing happens: seconds from exec to armed, memory, processor.

The real process, started as in the tests. Armed is when its READY=1 is here: the box sends it to systemd once it
watches its inputs and its journal is open. Beside it, in turn with it, a bare interpreter that imports the libraries of
the daemon, and says READY=1 after it: which they are is read from the daemon's own account of its imports
(PYTHONPROFILEIMPORTTIME) until its link is up. They are all that is not of this project, Python's own included, with
what they import themselves. Both find their modules compiled, as they are on an installed box.

One box has an empty journal, the other owes OWED events (`bench.journal_cost.fill`) to a broker behind which no central
listens: it sends what may be without a receipt, and holds that much in memory.
"""

import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Final, Self

from real_box import DEADLINE_S, RealBox, until

from agent.journal import FILE
from bench.figures import Row, bounded, digits, ms
from bench.journal_cost import fill
from simulators.process import spawn

OWED: Final = int(os.environ.get("CALLBOX_ROWS", "1_000_000"))
STARTS: Final = int(os.environ.get("CALLBOX_STARTS", "15"))
SETTLE_S: Final = 5.0
IDLE_S: Final = 40.0
GROWTH_MAX: Final = 1.2
IMPORTS_MAX: Final = 1.5
MEMORY_MB_MAX: Final = 60.0
CPU_PERCENT_MAX: Final = 0.5
OURS: Final = ("agent", "drivers", "simulators")
RECEIPT_S: Final = 300
"""Nothing is sent again meanwhile."""
COMPILED: Final = {"PYTHONDONTWRITEBYTECODE": ""}
"""Where a test environment says otherwise."""
BARE: Final = """\
import importlib, os, socket, sys
from contextlib import suppress

for name in sys.argv[1:]:
    with suppress(ImportError):  # what a library tries, and does without
        importlib.import_module(name)
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
"""


class Manager:
    """What a daemon tells systemd, with the moment at which it is here."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "notify"
        self._door = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._door.bind(str(self.path))
        self._door.settimeout(DEADLINE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._door.close()

    @property
    def environment(self) -> dict[str, str]:
        return {"NOTIFY_SOCKET": str(self.path)} | COMPILED

    def ready(self) -> float:
        """The monotonic second of the next READY=1. Raises TimeoutError."""
        while not self._door.recv(4_096).startswith(b"READY=1"):
            pass
        return time.monotonic()


def libraries(log: str) -> list[str]:
    """The modules, in their order, that a daemon has imported, but its own.

    log: of a daemon that was started with PYTHONPROFILEIMPORTTIME; what comes until `site` the interpreter imports by
    itself, a bare one too.
    """
    told = [line.rpartition("|")[2].strip() for line in log.splitlines() if line.startswith("import time:")]
    imported = told[told.index("site") + 1 :]
    return [name for name in imported if name.partition(".")[0] not in OURS]


class Starts:
    """Two boxes and a bare interpreter, started again and again; seconds until each was ready."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.taken: dict[str, list[float]] = {"empty": [], "owed": [], "imports": []}
        self.memory_mb: dict[str, float] = {}

    def measure(self) -> None:
        with ExitStack() as stack:
            manager = stack.enter_context(Manager(self._directory))
            boxes = {name: stack.enter_context(_box(self._directory / name)) for name in ("empty", "owed")}
            for box in boxes.values():
                box.more_environment = manager.environment
            self._begin(boxes["empty"], manager)
            boxes["empty"].stop()
            fill(boxes["owed"].state_dir / FILE, OWED)
            self._begin(boxes["owed"], manager)
            boxes["owed"].stop()
            bare = self._imports(boxes["empty"], manager)
            for _ in range(STARTS):
                for name, box in boxes.items():
                    self.taken[name].append(self._begin(box, manager))
                    box.stop()
                self.taken["imports"].append(self._import(bare, manager))
            for box in boxes.values():
                self._begin(box, manager)
            threading.Event().wait(SETTLE_S)
            self.memory_mb = {name: memory_mb(box.pid) for name, box in boxes.items()}

    @staticmethod
    def _begin(box: RealBox, manager: Manager) -> float:
        began_s = time.monotonic()
        box.power_on()
        return manager.ready() - began_s

    def _imports(self, box: RealBox, manager: Manager) -> list[str]:
        """The command of a bare interpreter with the libraries of this box."""
        box.more_environment = manager.environment | {"PYTHONPROFILEIMPORTTIME": "1"}
        self._begin(box, manager)
        until(lambda: box.status().get("link", {}).get("state") == "up", "the link is up")
        log = box.said()
        box.stop()
        box.more_environment = manager.environment
        return [sys.executable, "-P", "-c", BARE, *libraries(log)]

    def _import(self, command: list[str], manager: Manager) -> float:
        began_s = time.monotonic()
        process = spawn(command, self._directory / "imports.log", {**os.environ, **manager.environment})
        taken_s = manager.ready() - began_s
        process.wait(DEADLINE_S)
        return taken_s


@contextmanager
def _box(directory: Path) -> Iterator[RealBox]:
    """A box right at its broker, without a relay in this process."""
    directory.mkdir()
    with RealBox(directory, receipt_timeout_s=RECEIPT_S) as box:
        box.broker.start()
        box.config["links"] = [{"url": f"mqtt://127.0.0.1:{box.broker.port}"}]
        box.write_config()
        box.state_dir.mkdir()
        yield box


def memory_mb(pid: int) -> float:
    """What a process holds in memory (VmRSS of proc(5)), in MB of 1,000,000 bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise ValueError(f"{pid} holds nothing")


def idle(directory: Path) -> tuple[float, float]:
    """Percent of one core, and MB, of a box whose link is up, at which nothing happens.

    Not of its first run: that one makes the journal, and holds the library for it until the next start.
    """
    with _box(directory) as box:
        box.start_central()
        box.more_environment = COMPILED
        box.power_on()
        box.armed().stop()
        box.power_on()
        box.armed().owes_nothing()
        threading.Event().wait(SETTLE_S)
        began_s, before_s = time.monotonic(), box.cpu_s
        threading.Event().wait(IDLE_S)
        percent = (box.cpu_s - before_s) / (time.monotonic() - began_s) * 100
        until(lambda: box.status().get("link", {}).get("state") == "up", "the link is still up")
        return percent, memory_mb(box.pid)


def rows() -> list[Row]:
    """Start to armed beside its imports and beside an empty journal; memory; the processor at rest."""
    with tempfile.TemporaryDirectory(prefix="callbox-bench-") as directory:
        starts = Starts(Path(directory))
        starts.measure()
        percent, resting_mb = idle(Path(directory) / "idle")
    taken, memory = starts.taken, starts.memory_mb
    empty, owed, imports = (median(taken[name]) for name in ("empty", "owed", "imports"))
    return [
        Row(
            "start to armed, empty journal",
            ms(taken["empty"]),
            f"{ms(taken['imports'])}, its libraries",
            empty / imports,
            *bounded(empty / imports, "at most", IMPORTS_MAX),
        ),
        Row(
            f"start to armed, {OWED:,} owed",
            ms(taken["owed"]),
            f"{ms(taken['empty'])}, empty",
            owed / empty,
            *bounded(owed / empty, "at most", GROWTH_MAX),
        ),
        Row("memory, at rest", f"{digits(resting_mb)} MB", "", None, *bounded(resting_mb, "at most", MEMORY_MB_MAX)),
        Row(
            f"memory, {OWED:,} owed and central silent",
            f"{digits(memory['owed'])} MB",
            f"{digits(memory['empty'])} MB, empty",
            memory["owed"] / memory["empty"],
            *bounded(memory["owed"] / memory["empty"], "at most", GROWTH_MAX),
        ),
        Row("processor, at rest", f"{digits(percent)} %", "", None, *bounded(percent, "at most", CPU_PERCENT_MAX)),
    ]
