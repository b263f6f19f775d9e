"""The two clocks, read in one place: monotonic for durations, wall for people."""

import ctypes
import time
from pathlib import Path
from typing import Final

from agent.events import Stamp
from agent.mail import FollowClock
from agent.receiver_clock import stamp

_STA_UNSYNC: Final = 0x0040
WALL_US_MAX: Final = 253_402_300_799_000_000
"""The end of the year 9999: what RFC 3339 can write. A clock beyond it is wrong anyhow, and stops no alarm."""
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class _Timex(ctypes.Structure):
    """`struct timex` of adjtimex(2), as far as `status`; the rest is room."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("room", ctypes.c_byte * 256),
    )


class Clock:
    """Gives stamps. Whether the wall clock is disciplined is the kernel's own word, asked for every few seconds."""

    _ASK_S: Final = 5.0

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None)
        self._synced, self._asked_s = False, -self._ASK_S
        self.followed: FollowClock | None = None
        """A satellite receiver's time, for as long as the kernel has none. The kernel's clock is never set."""

    def now(self) -> Stamp:
        mono_s = time.monotonic()
        if mono_s >= self._asked_s + self._ASK_S:
            timex = _Timex(modes=0)
            state = self._libc.adjtimex(ctypes.byref(timex))
            self._synced, self._asked_s = state >= 0 and not timex.status & _STA_UNSYNC, mono_s
        return stamp(mono_s, max(0, min(time.time_ns() // 1000, WALL_US_MAX)), self._synced, self.followed)


def boot_id() -> str:
    """Names this run of the operating system: 8 hexadecimal digits."""
    return _BOOT_ID.read_text().replace("-", "")[:8]
