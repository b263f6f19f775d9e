"""Alarms of neighbours: other boxes of the site, shown here by outputs of role `neighbour`. Pure.

    event of a neighbour, by the broker -> its key, its kind, its age -> shown -> its own word, or 15 minutes
                                                                                                    -> over

What is shown for another is no event here: it is never recorded, never sent on, and not kept over a start. Silent kinds
and tests are passed over without a word. Nothing is trusted but the neighbour's signature.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from agent.commands import RefusedError, parse
from agent.identity import signed_by
from agent.inputs import Chatter
from agent.kinds import KINDS
from agent.mail import Action, Arrived, Say
from agent.messages import NeighbourStatus
from agent.recorder import Recorder

if TYPE_CHECKING:
    from agent.config import Neighbour

SHOWN_S_MAX: Final = 900.0
SHOWN_S_MIN: Final = 60.0
"""A door that closes behind a burglar restores its alarm at once: whoever is near still has to notice it."""
OLD_S: Final = 600.0
"""An alarm that comes later is history."""
KEPT_MAX: Final = 200
"""Ids and cases of one neighbour: the newest count."""
TYPES: Final = {
    f"callbox.{kind.event}"
    for kind in KINDS.values()
    if kind.alarm and not kind.silent and (kind.latches or kind.contact)
}


@dataclass(slots=True)
class Shown:
    """A case of a neighbour's that is shown."""

    type: str
    since_s: float
    until_s: float


@dataclass(slots=True)
class _Known:
    """A neighbour, and what was heard of it. deaf: the broker does not let this box hear it."""

    entry: "Neighbour"
    ids: OrderedDict[str, None] = field(default_factory=OrderedDict)
    cases: OrderedDict[str, Shown] = field(default_factory=OrderedDict)
    refused: int = 0
    deaf: bool = False


class Neighbours:
    """What they say, and what of it is shown now."""

    def __init__(self, site: str, entries: Sequence["Neighbour"], recorder: Recorder, out: list[Action]) -> None:
        self._site, self._recorder, self._out = site, recorder, out
        self._known = {entry.box: _Known(entry) for entry in entries}
        self._lines = Chatter()

    def arrived(self, box: str, message: Arrived) -> None:
        """An alarm of `box`, or what claims to be one."""
        if (known := self._known.get(box)) is None:
            return
        try:
            self._heard(known, message)
        except RefusedError as error:
            known.refused += 1
            if known.refused == 1:  # a flood of them is one line
                text = f"neighbour {box}: a message is refused: {error.reason}; further ones are counted in the status"
                self._out.append(Say("warning", text))

    def deaf(self, boxes: Sequence[str]) -> None:
        """A session stands; its broker does not let this box hear these."""
        for box, known in self._known.items():
            if box in boxes and not known.deaf:
                text = f"neighbour {box}: the broker does not give its alarms to this box; check the broker's ACL"
                self._out.append(Say("warning", text))
            known.deaf = box in boxes

    def tick(self, now_s: float) -> None:
        """What has been shown for long enough is over."""
        self._lines.sum(now_s)
        for known in self._known.values():
            for case in [case for case, shown in known.cases.items() if shown.until_s <= now_s]:
                del known.cases[case]

    def due_s(self) -> float | None:
        """When something is over by itself."""
        return min((shown.until_s for known in self._known.values() for shown in known.cases.values()), default=None)

    @property
    def since_s(self) -> float | None:
        """Since when anything is shown; None: nothing is."""
        return min((shown.since_s for known in self._known.values() for shown in known.cases.values()), default=None)

    def status(self) -> list[NeighbourStatus]:
        """For `callbox status`."""
        return [
            {
                "box": box,
                "name": known.entry.name,
                "alarms": sorted({shown.type for shown in known.cases.values()}),
                "refused": known.refused,
                "deaf": known.deaf,
            }
            for box, known in self._known.items()
        ]

    def _heard(self, known: _Known, arrived: Arrived) -> None:
        """Raises RefusedError for what no neighbour says."""
        message = parse(arrived.payload, arrived.retained)
        type = message.get("type")
        if not isinstance(type, str) or type not in TYPES:
            return  # silent, or no alarm: also a forged one leaves no trace that somebody could read here
        id, data = message.get("id"), message.get("data")
        if isinstance(id, str) and id in known.ids:
            return
        if not signed_by(known.entry.key, message):
            raise RefusedError("the signature is not by the key that the config has for it")
        if message.get("source") != f"/callbox/{self._site}/{known.entry.box}":
            raise RefusedError("it is signed, and from another box")
        if not isinstance(id, str) or not isinstance(data, dict):
            raise RefusedError("no `id` or no `data`")
        _keep(known.ids, id, None)
        if data.get("test"):
            return
        case = str(data.get("case", id))
        if data.get("transition") == "restored":
            self._restored(known, case, closed="by" in data)
        elif not self._old(message, replayed=arrived.replayed) and case not in known.cases:
            self._show(known, case, type.removeprefix("callbox."))

    def _show(self, known: _Known, case: str, type: str) -> None:
        now_s = self._recorder.now.mono_s
        _keep(known.cases, case, Shown(type, now_s, now_s + SHOWN_S_MAX))
        if self._lines.admit(now_s):
            self._out.append(Say("warning", f"neighbour {known.entry.box}: {type}"))

    def _restored(self, known: _Known, case: str, *, closed: bool) -> None:
        """A person has closed it: it is over. A contact is idle again: it is shown for a minute in all."""
        if (shown := known.cases.get(case)) is not None:
            now_s = self._recorder.now.mono_s
            shown.until_s = now_s if closed else max(now_s, min(shown.until_s, shown.since_s + SHOWN_S_MIN))
            self.tick(now_s)

    def _old(self, message: dict[str, Any], *, replayed: bool) -> bool:
        """By its time, where both clocks are to be trusted; else by the word that it comes out of a backlog."""
        now = self._recorder.now
        try:
            at = datetime.fromisoformat(message["time"])
            age_s = now.wall_us / 1e6 - at.timestamp()
        except (KeyError, TypeError, ValueError, OverflowError):
            raise RefusedError("`time` (RFC 3339) is missing or cannot be read") from None
        trusted = now.synced and at.tzinfo is not None and message.get("timequality") == "synced"
        return age_s > OLD_S if trusted else replayed


def _keep(kept: OrderedDict[str, Any], name: str, value: Any) -> None:
    """The newest KEPT_MAX."""
    kept[name] = value
    if len(kept) > KEPT_MAX:
        kept.popitem(last=False)
