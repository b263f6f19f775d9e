"""Does to a real box what the schedule says, and keeps account of when it could not hear, record or answer."""

import errno
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, Self

from bad_disk import BadDisk
from hands import Hands, Trap
from real_box import ROOT, RealBox, until
from soak_schedule import LINKS, Fault, Step
from vitals import Vitals

from simulators.wan import Wan

FAKETIME: Final = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
NO_FAKETIME: Final = "" if FAKETIME else "no libfaketime here: apt-get install libfaketime"
"""Why this machine cannot step a clock; empty where it can."""
SLOW_KBIT_S: Final = 64
SLOW_SYNC_MS: Final = 2000
GARBAGE_BYTES: Final = 300
OVERLONG_BYTES: Final = 1500
"""Longer than a line may be; all of the garbage fits into the port's buffer, also while the daemon reads nothing."""
ACL_GOOD: Final = "topic readwrite callbox/#\n"
ACL_BAD: Final = f"topic write {ROOT}/state\ntopic read callbox/#\n"
DISK: Final = {
    "EIO on sync": {"fsync": errno.EIO},
    "EIO on one sync": {"fsync": errno.EIO, "times": 1},
    "EIO on write": {"write": errno.EIO},
    "ENOSPC": {"write": errno.ENOSPC},
    "2 s a sync": {"fsync_ms": SLOW_SYNC_MS},
}


class Spans:
    """Stretches of monotonic time."""

    def __init__(self) -> None:
        self.spans: list[tuple[float, float]] = []
        self._since_s: float | None = None

    def begin(self) -> None:
        """Does nothing in one that has begun."""
        if self._since_s is None:
            self._since_s = time.monotonic()

    def end(self) -> None:
        if self._since_s is not None:
            self.spans.append((self._since_s, time.monotonic()))
            self._since_s = None

    def meet(self, from_s: float, to_s: float) -> bool:
        """Whether one of them has a moment in common with this time."""
        return any(begin <= to_s and from_s <= end for begin, end in self.spans)

    @contextmanager
    def within(self) -> Iterator[None]:
        self.begin()
        yield
        self.end()


class Mischief:
    """A box under faults; with the schedule's clock, disk and links, and without power before `start`.

    dead: between the moment before it is ended and the one in which it is armed again. frozen: by SIGSTOP. deaf: the
    panel is unplugged, or plugged in and perhaps not opened yet. done: faults by kind.
    """

    def __init__(self, box: RealBox, disk: BadDisk, hands: Hands, vitals: Vitals) -> None:
        self.box, self._disk, self._hands, self._vitals = box, disk, hands, vitals
        self.dead, self.frozen, self.deaf = Spans(), Spans(), Spans()
        self.done: Counter[str] = Counter()
        self.kills = 0
        self._wans = dict(zip(LINKS, (box.wan, Wan(0, ("127.0.0.1", box.broker.port))), strict=True))
        self._trap = Trap(box, self._kill)
        self._rng = random.Random(0)
        self._clock = box.directory / "clock"
        self._stack = ExitStack()
        self._set_clock(0)
        box.config["links"] = [{"url": f"mqtt://127.0.0.1:{wan.port}"} for wan in self._wans.values()]
        box.write_config()
        box.more_environment = disk.environment | {
            "LD_PRELOAD": f"{disk.environment['LD_PRELOAD']}:{FAKETIME}",
            "FAKETIME_TIMESTAMP_FILE": str(self._clock),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def __enter__(self) -> Self:
        self._stack.enter_context(self._wans[LINKS[1]])
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @staticmethod
    def acl(directory: Path) -> list[str]:
        """The lines of a broker's config that let it refuse this box's events later."""
        (directory / "acl").write_text(ACL_GOOD)
        return [f"acl_file {directory / 'acl'}"]

    # ---- life

    def start(self) -> None:
        """The daemon is armed when it returns, and the hands are at it."""
        self.dead.begin()
        self._vitals.life += 1
        self.box.power_on()
        self._armed()

    def _armed(self, times: int = 1) -> None:
        until(lambda: self.box.said().count("INFO armed") >= times or self.box.code is not None, "the box is armed")
        assert self.box.code is None, f"the box ended with {self.box.code}:\n{self.box.said()}"
        self.dead.end()
        self._hands.alive.set()

    def _kill(self) -> None:
        self.dead.begin()
        self.box.signal(signal.SIGKILL)

    def _end_life(self, how: str) -> None:
        if how == "SIGTERM":
            self.dead.begin()
            assert self.box.stop() == 0
        elif how == "SIGKILL" or not self._trap.wait():
            self._kill()
        self._hands.alive.clear()
        self.kills += how != "SIGTERM"
        self.box.kill()

    def _reload(self) -> None:
        armed = self.box.said().count("INFO armed")
        self.dead.begin()
        self.box.signal(signal.SIGHUP)
        until(lambda: self.box.said().count("INFO reloading") >= armed, "it starts itself anew")
        self._vitals.life += 1
        self._armed(armed + 1)

    # ---- faults

    def do(self, step: Step) -> None:
        """One step of the schedule."""
        fault, begins = step.fault, step.what in ("begin", "down")
        self.done[str(fault.kind)] += step.what == "begin"
        if fault.kind.place in LINKS:
            self._link(self._wans[fault.kind.place], fault, begins)
            return
        match fault.kind.place, fault.kind.name:
            case "broker", "killed":
                self.box.broker.kill() if begins else self.box.broker.start()
            case "broker", _:
                self._refuse(ACL_BAD if begins else ACL_GOOD)
            case "central", _:
                self.box.stop_central() if begins else self.box.start_central()
            case "disk", name:
                self._disk.arm(**DISK[name]) if begins else self._disk.mend()
            case "daemon", "SIGSTOP":
                self._freeze() if begins else self._thaw()
            case "daemon", "SIGHUP":
                if begins:
                    self._reload()
            case "daemon", how:
                self._end_life(how) if begins else self.start()
            case "panel", "unplugged":
                self._unplug() if begins else self._plug()
            case "panel", _:
                if begins:
                    self._garbage()
            case "clock", _:
                self._set_clock(fault.step_s if begins else 0)

    def _link(self, wan: Wan, fault: Fault, begins: bool) -> None:
        if fault.kind.name == "64 kbit/s":
            wan.set_rate(SLOW_KBIT_S if begins else None)
            return
        down = {"cut": wan.cut, "flaps": wan.cut, "half-open": wan.half_open, "stalled": wan.stall}
        (down[fault.kind.name] if begins else wan.restore)()

    def _refuse(self, acl: str) -> None:
        (self.box.directory / "acl").write_text(acl)
        if self.box.broker.pid is not None:
            os.kill(self.box.broker.pid, signal.SIGHUP)

    def _freeze(self) -> None:
        self.frozen.begin()
        self.box.signal(signal.SIGSTOP)

    def _thaw(self) -> None:
        self.box.signal(signal.SIGCONT)
        self.frozen.end()

    def _unplug(self) -> None:
        with self._hands.at_the_panel:
            self.deaf.begin()
            self.box.panel.unplug()

    def _plug(self) -> None:
        with self._hands.at_the_panel:
            self.box.panel.plug()

    def _garbage(self) -> None:
        noise = bytes(self._rng.randrange(128, 256) for _ in range(GARBAGE_BYTES))
        with self._hands.at_the_panel:
            for line in (noise, b"\x00\x01", b"S:", b"y" * OVERLONG_BYTES):
                self.box.panel.send(line + b"\r\n")

    def _set_clock(self, step_s: int) -> None:
        beside = self._clock.with_suffix(".new")
        beside.write_text(f"{step_s:+d}\n")
        beside.rename(self._clock)
