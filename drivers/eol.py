"""End-of-line resistors: from the resistors on a wire to what a voltage on it means. Pure.

    supply --[ pull-up ]--+-- converter          normally open      normally closed
                          |
                          +------ cable ------+--------+             +--[ EOL ]--+
                                              |     contact                      |
                                            [EOL]      |                  contact | [ contact ]
                                              |   [ contact ]                    |
                          ground -- cable ----+--------+             +-----------+

At rest the wire has its EOL resistor. A contact that is normally open puts its own resistor beside that, one that is
normally closed has bridged its own and puts it in line. Nothing at all is an open wire, 0 ohm a short one. Without a
resistor at the contact one of the two faults cannot be told from a press, and then it is a press.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, Literal

from drivers.supervised import Wire

APART_MIN: Final = 0.1
"""Of full scale, between two states: resistors of 5 % and a converter of 10 bit are off by 0.03 at most."""
HYSTERESIS: Final = 0.02
"""Of full scale: so far beyond its window a state holds on."""


def states(
    normally: Literal["open", "closed"], pullup_ohm: int, eol_ohm: int, contact_ohm: int | None
) -> list[tuple[float, Wire]]:
    """What the wire can be, with its part of full scale, rising.

    Raises ValueError when two states are too close to be told apart.
    """
    at_rest = eol_ohm / (eol_ohm + pullup_ohm)
    _check([(0.0, "short"), (at_rest, "idle"), (1.0, "open")], "eol_ohm", eol_ohm)
    if contact_ohm is None and normally == "open":
        return [(0.0, "active"), (at_rest, "idle"), (1.0, "open")]
    if contact_ohm is None:
        return [(0.0, "short"), (at_rest, "idle"), (1.0, "active")]
    both = eol_ohm * contact_ohm / (eol_ohm + contact_ohm) if normally == "open" else eol_ohm + contact_ohm
    found: list[tuple[float, Wire]] = [(0.0, "short"), (at_rest, "idle"), (both / (both + pullup_ohm), "active")]
    found = [*sorted(found), (1.0, "open")]
    _check(found, "contact_ohm", contact_ohm)
    return found


def _check(states: Sequence[tuple[float, Wire]], key: str, ohm: int) -> None:
    for (low, below), (high, above) in pairwise(states):
        if high - low < APART_MIN:
            raise ValueError(
                f"{key}: found {ohm}, which sets {below} and {above} {high - low:.2f} of full scale apart, allowed is "
                f"{APART_MIN} and more: take a value nearer to that of the other resistors"
            )


class Window:
    """One wire: a window for each state, half way to the next ones, and a state holds on a little beyond its own."""

    def __init__(self, states: Sequence[tuple[float, Wire]]) -> None:
        """states: rising."""
        self._wires = [wire for _, wire in states]
        self._edges = [(low + high) / 2 for (low, _), (high, _) in pairwise(states)]
        self._now: int | None = None

    def read(self, part: float) -> Wire:
        """The state at `part` of full scale, 0 to 1."""
        if self._now is None or not self._low(self._now) - HYSTERESIS <= part <= self._high(self._now) + HYSTERESIS:
            self._now = sum(part > edge for edge in self._edges)
        return self._wires[self._now]

    def _low(self, state: int) -> float:
        return self._edges[state - 1] if state > 0 else 0.0

    def _high(self, state: int) -> float:
        return self._edges[state] if state < len(self._edges) else 1.0
