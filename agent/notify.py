"""What the daemon tells systemd: ready, reloading, stopping, and that it is alive (sd_notify(3))."""

import logging
import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

log = logging.getLogger(__name__)
POWEROFF = "poweroff"


def send(*lines: str) -> None:
    """Sends `KEY=value` lines as one message to the service manager; does nothing when none started us.

    Never blocks and never raises: a manager that does not listen is logged, and no alarm waits for it.
    """
    if not (address := os.environ.get("NOTIFY_SOCKET")):
        return
    if address.startswith("@"):  # an abstract socket, written as systemd writes it
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as door:
            door.connect(address)
            door.sendall("\n".join(lines).encode())
    except OSError as error:
        log.warning("systemd was not told %s: NOTIFY_SOCKET %r: %s; it may restart this box", lines[0], address, error)


def ready(status: str) -> None:
    """The box is armed: inputs watched, journal open. `status` is the line that `systemctl status` shows."""
    send("READY=1", f"STATUS={status}")


def reloading() -> None:
    """A reload has begun; systemd waits for `ready` and, by the time stamp, knows an older one from it."""
    send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")


def stopping() -> None:
    """A clean stop has begun."""
    send("STOPPING=1")


def ask_poweroff() -> str:
    """Leaves a file in the runtime directory, which callbox-poweroff.path waits for. Returns why not, or ""."""
    if not (folder := os.environ.get("RUNTIME_DIRECTORY")):
        return "nobody is asked to power off: no RUNTIME_DIRECTORY, which systemd names"
    try:
        (Path(folder) / POWEROFF).touch()
    except OSError as error:
        return f"nobody is asked to power off: {folder}/{POWEROFF}: {error.strerror}"
    return ""


def forget_poweroff() -> None:
    """A wish of an earlier run that nobody has heeded: whoever enables the unit later is not surprised by it."""
    if folder := os.environ.get("RUNTIME_DIRECTORY"):
        with suppress(OSError):
            (Path(folder) / POWEROFF).unlink()


def watchdog_interval_s() -> float | None:
    """How often the loop should feed the watchdog: half of what systemd allows; None: nobody watches."""
    watched = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    allowed_us = os.environ.get("WATCHDOG_USEC", "")
    return int(allowed_us) / 2e6 if watched and allowed_us.isdecimal() and int(allowed_us) else None


class Watchdog:
    """Says when the loop should feed systemd's watchdog. A hung worker makes it silent: systemd then restarts the box.

    interval_s: from `watchdog_interval_s`; None: never due. Time is monotonic seconds.
    """

    def __init__(self, interval_s: float | None) -> None:
        self.interval_s = interval_s
        self._fed_s: float | None = None

    def due(self, now_s: float) -> bool:
        """Whether it is time to feed: at once for the first time, then every `interval_s`."""
        return self.interval_s is not None and (self._fed_s is None or now_s - self._fed_s >= self.interval_s)

    def feed(self, now_s: float) -> None:
        """Feeds. To be called only when it is due and `stalled` names nobody."""
        self._fed_s = now_s
        send("WATCHDOG=1")


def stalled(progress_s: Mapping[str, float], now_s: float, limit_s: float = 20.0) -> list[str]:
    """The workers, sorted, that made no progress for more than `limit_s` seconds.

    progress_s: monotonic seconds at which each worker last finished a piece of work, or found that there was none.
    """
    return sorted(worker for worker, seen_s in progress_s.items() if now_s - seen_s > limit_s)
