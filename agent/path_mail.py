"""Messages and actions about ways out besides MQTT: a part of `agent/mail.py`. Values only."""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from agent.events import Event
from agent.kinds import EventClass

ReportState = Literal["owed", "delivered", "refused", "unneeded"]
REPORT_STATES: Final[tuple[ReportState, ...]] = ("owed", "delivered", "refused", "unneeded")
"""Also the journal's numbers for them. unneeded: central had it first, and the path is asked only where it has not."""


class OwedReport(NamedTuple):
    """Event `seq` is owed on a path, too. spare: only as long as central has not said that it stored it."""

    path: str
    seq: int
    cls: EventClass
    spare: bool


class JudgedReport(NamedTuple):
    """What became of it, when (RFC 3339), and why it was refused."""

    path: str
    seq: int
    state: ReportState
    time: str
    reason: str = ""


# ---- in


class DueReport(NamedTuple):
    """The journal's answer to `FindDue` of this token: the event, None where nothing is due. owed: at most OWED_MAX."""

    journal: str
    path: str
    token: int
    event: Event | None
    owed: int


class PathSaid(NamedTuple):
    """A path has judged a report of journal `journal`: `delivered`, or `refused` for that reason."""

    path: str
    journal: str
    seq: int
    state: ReportState
    reason: str = ""


class PathStands(NamedTuple):
    """The far end has answered, where it had not; or `reason` why it cannot be reached."""

    path: str
    reason: str = ""


class PathKeeps(NamedTuple):
    """A path wants a short text remembered."""

    path: str
    text: str


PathMessage = DueReport | PathSaid | PathStands | PathKeeps

# ---- out


class FindDue(NamedTuple):
    """To the journal: what is to go next by this path, of the events up to boxseq `through`; alarms first."""

    path: str
    token: int
    through: int


class Offer(NamedTuple):
    """To a path: this is what it is to send now, in place of what it was offered before; None: nothing."""

    path: str
    journal: str
    event: Event | None


def setting(path: str) -> str:
    """Where a path's memory is among the journal's settings."""
    return f"path {path}"


def memory(settings: Mapping[str, str], path: str) -> str:
    """What a path has last asked to remember."""
    return settings.get(setting(path), "")
