"""A program that runs until it is stopped."""

import signal
import threading

import pytest

from simulators.process import until_stopped


class Noted(threading.Event):
    """Says when it is waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.waited_for = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        self.waited_for.set()
        return super().wait(timeout)


@pytest.mark.timeout(30)
def test_a_signal_that_another_thread_took_ends_the_wait_all_the_same() -> None:
    """So does one that came an instant before the wait: in both cases nothing interrupts it."""
    never = Noted()

    def takes_it() -> None:
        never.waited_for.wait()
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            threading.Thread(target=takes_it, daemon=True).start()
            until_stopped(never)
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_the_wait_ends_when_it_is_told_to() -> None:
    stopped = threading.Event()
    threading.Thread(target=stopped.set, daemon=True).start()
    until_stopped(stopped)
    assert stopped.is_set()
