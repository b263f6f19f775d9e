"""A supervised contact: what its wire reads as, and for how long, to readings. Pure.

              idle <-> active        at once, each change an edge
    open | short for FAULT_S         a fault; until then the contact counts as where it was last
    idle | active after a fault      good again, and an edge

So a form C contact on its way between its poles (both open) is no fault, and its bounce is no second press: it
counts as at the pole that it has touched last.
"""

from typing import Final, Literal

from drivers.contract import Edge, Health

Wire = Literal["idle", "active", "open", "short"]

FAULT_S: Final = 0.1
"""What makes no sense for so long is a fault; the slowest contacts change over in 20 ms."""

REASONS: Final[dict[Wire, str]] = {
    "open": "the wire is open: see its cable, plug and resistors",
    "short": "the wire is short: see its cable, plug and resistors",
}


class Supervised:
    """One input. Whoever reads its wire says so at each change and when `due_s` has come."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._wire: Wire | None = None
        self._since_s = 0.0
        self._told: Wire | None = None
        """The last position, or the fault that stands."""

    def read(self, wire: Wire, seen_s: float) -> list[Edge | Health]:
        """The wire reads so at `seen_s`, monotonic seconds that may stand still, never go back."""
        if wire != self._wire:
            self._wire, self._since_s = wire, seen_s
        if wire == "open" or wire == "short":
            if wire == self._told or seen_s < self._since_s + FAULT_S:
                return []
            self._told = wire
            return [Health(self._name, wire, REASONS[wire], seen_s)]
        before, self._told = self._told, wire
        if wire == before:
            return []
        edge = Edge(self._name, wire == "active", seen_s, initial=before is None)
        return [Health(self._name, "good", "", seen_s), edge] if before in REASONS else [edge]

    def due_s(self) -> float | None:
        """When a fault is one, should the wire read as it does now."""
        return self._since_s + FAULT_S if self._wire in REASONS and self._wire != self._told else None
