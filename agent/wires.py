"""The drivers' threads: each wire is opened, watched, and opened again when it went."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_random_exponential

from agent import threads
from drivers.contract import Driver, DriverError, Health, Reading

if TYPE_CHECKING:
    from agent.config import Config

log = logging.getLogger("callbox")

BACKOFF_FIRST_S: Final = 0.25
BACKOFF_MAX_S: Final = 2.0
"""A cable that is put back is noticed within this; to look for it costs next to nothing."""
STABLE_S: Final = 30.0
SAFE_S: Final = 5.0
"""Of `callbox safe`, for all wires together: systemd waits for it before the box comes back."""


class Wire:
    """One driver in its thread. It is the driver's `Host`."""

    def __init__(self, name: str, driver: Driver, inputs: Sequence[str], put: Callable[[Reading], None]) -> None:
        """inputs: the ids that go offline with it. put: may wait; called in the driver's thread."""
        self.name, self.driver = name, driver
        self._inputs, self._put = inputs, put
        self._unheard = set(inputs)
        self._unset: set[str] = set()
        self._stop = threading.Event()
        self.progress_s = time.monotonic()
        self.spoke = threading.Event()
        """Set once each input has been heard of, good or not: from then on no press is missed."""
        if not inputs:
            self.spoke.set()
        self._thread: threading.Thread
        """Since `start`."""

    def start(self) -> None:
        self._thread = threads.start(self._run, f"wire-{self.name}")

    def stop(self) -> None:
        """Asks the driver to end; it does within about a second."""
        self._stop.set()

    def join(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)

    def set(self, output: str, on: bool) -> None:
        """Drives an output. A fault in its driver costs that output, is logged once, and stops nobody."""
        try:
            self.driver.set(output, on)
        except Exception:
            if output not in self._unset:
                log.exception("%s: output %s cannot be set: a fault in the driver: report it", self.name, output)
            self._unset.add(output)

    # ---- drivers.contract.Host

    def emit(self, reading: Reading) -> None:
        self._put(reading)
        self._unheard.discard(reading.input)
        if not self._unheard:
            self.spoke.set()

    def alive(self) -> bool:
        self.progress_s = time.monotonic()
        return not self._stop.is_set()

    # ---- the driver's thread

    def _run(self) -> None:
        while not self._stop.is_set():
            Retrying(
                retry=retry_if_exception_type(DriverError),
                wait=wait_random_exponential(multiplier=BACKOFF_FIRST_S, max=BACKOFF_MAX_S),
                sleep=self._pause,
                before_sleep=self._offline,
            )(self._once)

    def _once(self) -> None:
        """Runs the driver until it ends. A wire that held for a while starts the backoff anew by returning."""
        if self._stop.is_set():
            return
        began_s = self.progress_s = time.monotonic()
        try:
            self.driver.run(self)
        except DriverError as error:
            if time.monotonic() < began_s + STABLE_S:
                raise
            self._say_offline(str(error))
            self._pause(BACKOFF_FIRST_S)
        except Exception as error:  # a bug in a driver costs its wire, never the box
            raise DriverError(
                self.name, f"{type(error).__name__}: {error}", "a fault in the driver: report it"
            ) from error
        else:
            if not self._stop.is_set():
                raise DriverError(self.name, "the driver ended by itself", "a fault in the driver: report it")

    def _offline(self, state: RetryCallState) -> None:
        if state.outcome is not None:
            self._say_offline(str(state.outcome.exception()))

    def _say_offline(self, reason: str) -> None:
        for input_id in self._inputs:
            self._put(Health(input_id, "offline", reason, time.monotonic()))
        self.spoke.set()

    def _pause(self, seconds: float) -> None:
        """Waits, and goes on counting as alive."""
        until_s = time.monotonic() + seconds
        while (left_s := until_s - time.monotonic()) > 0 and not self._stop.wait(min(left_s, 1.0)):
            self.progress_s = time.monotonic()


class _Leaving:
    """A driver's `Host` that wants nothing but what was wished of its outputs."""

    def emit(self, reading: Reading) -> None:
        pass

    def alive(self) -> bool:
        return False


def make_safe(config: "Config") -> list[str]:
    """Sets each output to its safe state, and leaves its wire; where that failed, a line each."""
    problems: dict[str, str] = {}

    def leave(name: str, driver: Driver) -> None:
        try:
            driver.run(_Leaving())
            del problems[name]
        except DriverError as error:
            problems[name] = str(error)
        except Exception as error:  # noqa: BLE001  a fault in one driver leaves the outputs of the others
            problems[name] = f"{name}: {type(error).__name__}: {error}; a fault in the driver: report it"

    left = []
    for wire in make_wires(config, lambda _name, _reading: None):
        outputs = [output for output in config.outputs if output.driver == wire.name]
        for output in outputs:
            wire.set(output.id, output.safe == "on")
        if outputs:
            problems[wire.name] = f"{wire.name}: no answer within {SAFE_S:.0f} s; check the wire and its device"
            left.append(threads.start(partial(leave, wire.name, wire.driver), f"safe-{wire.name}"))
    until_s = time.monotonic() + SAFE_S
    for thread in left:
        thread.join(max(0.0, until_s - time.monotonic()))
    return list(problems.values())


def make_wires(config: "Config", put: Callable[[str, Reading], None]) -> list[Wire]:
    """One wire for each driver of the config; `put` is given its name too."""
    return [
        Wire(
            entry.id,
            config.make(entry),
            [item.id for item in config.inputs if item.driver == entry.id],
            partial(put, entry.id),
        )
        for entry in config.drivers
    ]
