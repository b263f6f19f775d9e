"""The simulated box beside the operator page, in the demo: what the page may do to it."""

from collections.abc import Callable
from typing import Any, Protocol


class Bench(Protocol):
    """The demo implements it; every method may be called from any thread."""

    def inputs(self) -> list[dict[str, str]]:
        """[{"id": "alarm-1", "kind": "panic"}, ...] of the simulated box."""

    def press(self, input: str, down: bool) -> None:
        """Holds a button down or lets it go. Raises KeyError for an input that is not there."""

    def scan(self, code: str) -> None:
        """Sends a code as the scanner does."""

    def set_link(self, up: bool) -> None:
        """Cuts or mends the line to the broker."""

    def set_power(self, on: bool) -> None:
        """False: kills the box where it stands (SIGKILL). True: starts it."""

    def state(self) -> dict[str, Any]:
        """{"power": bool, "link": bool, "outputs": {"amber": bool, ...}, "inputs": {"alarm-1": bool, ...}}: now."""

    def watch(self, callback: Callable[[dict[str, Any]], None]) -> None:
        """Calls back with state() at each change, from any thread."""
