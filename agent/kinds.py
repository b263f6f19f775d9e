"""The kinds of input and the types of event, each in one table.

Contact ID codes and classes: docs/contract.md, section 2.
"""

from dataclasses import dataclass
from typing import Final, Literal

EventClass = Literal["alarm", "trouble", "scan", "status", "audit"]

Cause = Literal["", "days", "size", "disk"]
"""Why events or files go from the box."""

CLASSES: Final[tuple[EventClass, ...]] = ("alarm", "trouble", "scan", "status", "audit")
"""In the order of sending; also the journal's numbers for them."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What an input of this kind does.

    event: the type of its event, `callbox.` left out. latches: a press opens a case that stays until it is closed
    (hold-up devices, GB 50394 5.2.3). contact: both edges are recorded; of the others only the press is.
    silent: nothing at the place shows it. holdup: a second press, or tamper, confirms it (Contact ID 129).
    """

    event: str
    latches: bool = False
    contact: bool = False
    silent: bool = False
    holdup: bool = False

    @property
    def alarm(self) -> bool:
        return self.event.startswith("alarm.")


KINDS: Final[dict[str, Kind]] = {
    "panic": Kind("alarm.panic", latches=True, holdup=True),
    "duress": Kind("alarm.duress", latches=True, silent=True, holdup=True),
    "holdup": Kind("alarm.holdup", latches=True, silent=True, holdup=True),
    "medical": Kind("alarm.medical", latches=True),
    "fire": Kind("alarm.fire", latches=True),
    "intrusion": Kind("alarm.intrusion", contact=True),
    "tamper": Kind("alarm.tamper", contact=True),
    "ac": Kind("trouble.ac", contact=True),
    "battery": Kind("trouble.battery", contact=True),
    "scan": Kind("scan.code"),
    "patrol": Kind("scan.patrol"),
    "position": Kind("status.position"),  # a satellite receiver
    "cancel": Kind("alarm.cancelled"),
    "reset": Kind("alarm.reset"),  # records no event of its own: it closes cases
}

LISTED: Final = "listed"
"""The kind of a case that no input is of: a code on a list of kind `watch`."""

CASES: Final[dict[str, Kind]] = {**KINDS, LISTED: Kind("alarm.listed", latches=True)}
"""Kinds of cases."""

CID: Final[dict[str, int]] = {
    "alarm.panic": 120,
    "alarm.duress": 121,
    "alarm.holdup": 122,
    "alarm.confirmed": 129,
    "alarm.medical": 100,
    "alarm.fire": 110,
    "alarm.intrusion": 130,
    "alarm.tamper": 137,
    "alarm.listed": 140,
    "alarm.cancelled": 406,
    "trouble.ac": 301,
    "trouble.battery": 302,
    "trouble.input": 380,
    "trouble.stuck": 375,
    "trouble.storage": 307,
    "trouble.link": 350,
    "trouble.camera": 330,
    "trouble.clock": 626,
    "trouble.parked": 354,
    "status.stopping": 308,
    "status.test": 602,
    "status.walktest": 607,
    "status.clock": 625,
    "audit.config": 306,
}
"""Contact ID event codes, by type without `callbox.`; a type that is not here has none."""

CID_TEST_WITH_TROUBLE: Final = 608
"""Instead of 602, when a trouble stands."""


def class_of(event: str) -> EventClass:
    """The class of a type without `callbox.`: `alarm` of `alarm.panic`. Raises ValueError for an unknown class."""
    return CLASSES[CLASSES.index(event.partition(".")[0])]
