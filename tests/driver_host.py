"""The agent's side of the driver contract, for tests: collects readings, keeps `run` going, waits with a deadline."""

import gc
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

from drivers.contract import Driver, DriverError, Reading

DEADLINE_S = 10.0


class RecordingHost:
    """Readings in order of emission; `error` is set when `run` has raised."""

    def __init__(self) -> None:
        self.readings: queue.SimpleQueue[Reading] = queue.SimpleQueue()
        self.stopping = threading.Event()
        self.ended = threading.Event()
        self.error: DriverError | None = None
        self.beats = 0

    def emit(self, reading: Reading) -> None:
        self.readings.put(reading)

    def alive(self) -> bool:
        self.beats += 1
        return not self.stopping.is_set()

    def take(self) -> Reading:
        """The next reading; raises queue.Empty after the deadline."""
        return self.readings.get(timeout=DEADLINE_S)

    def lost(self) -> DriverError:
        """Waits until `run` has raised."""
        assert self.ended.wait(DEADLINE_S), "run did not end"
        assert self.error is not None, "run returned"
        return self.error


def descriptors() -> int:
    """How many this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def forget_others() -> None:
    """What other tests have left to the collector is closed now, and not amid a count of descriptors."""
    gc.collect()


class Hosting(Protocol):
    """What a thread needs of a host, of drivers or of paths."""

    error: DriverError | None
    stopping: threading.Event
    ended: threading.Event


H = TypeVar("H", bound=Hosting)


@contextmanager
def running(driver: Driver) -> Iterator[RecordingHost]:
    """`driver.run` in a thread of its own until the block ends."""
    with threaded(driver.run, RecordingHost()) as host:
        yield host


@contextmanager
def threaded(run_with: Callable[[H], None], host: H) -> Iterator[H]:
    """`run_with(host)` in a thread of its own until the block ends."""

    def run() -> None:
        try:
            run_with(host)
        except DriverError as error:
            host.error = error
        finally:
            host.ended.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield host
    finally:
        host.stopping.set()
        thread.join(DEADLINE_S)
        assert not thread.is_alive(), "run did not return"


def until(true: Callable[[], bool]) -> None:
    """Waits for a condition that nobody signals; raises AssertionError after the deadline."""
    pause = threading.Event()
    for _ in range(int(DEADLINE_S / 0.005)):
        if true():
            return
        pause.wait(0.005)
    raise AssertionError("the condition did not come true")
