"""Threads beside the deciding one. None of them ever takes a signal.

The kernel gives a signal to any thread that does not block it. One that outlives the loop by a moment would take a
SIGHUP or SIGTERM that belongs to what the process becomes by its `exec`, and it would be lost. All of them block these
signals, so that the kernel keeps one until the deciding thread wants it.
"""

import signal
import threading
from collections.abc import Callable
from typing import Final

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Blocked in the deciding thread too but while the loop runs: the kernel keeps one that comes earlier or later, also
over the `exec` of a reload, where it would be lost, or end the process by its default."""


def start(run: Callable[[], object], name: str) -> threading.Thread:
    """Starts a thread with that name; it holds up no end of the process."""
    thread = threading.Thread(target=run, name=name, daemon=True)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        thread.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return thread
