"""What the box keeps and where: on the disk or in memory, how much of it, and what that troubles. Pure."""

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from agent.events import Event
from agent.mail import Action, Say, StorageTight, Surveyed
from agent.models import PrunedData
from agent.outbox import Outbox
from agent.recorder import Recorder
from agent.retention import Retention

if TYPE_CHECKING:
    from agent.config import Config

COPIES_MAX: Final = 100
"""Events on their way to the disk, up to which copies of what was in memory are added."""
STORAGE_TIMEOUT_S: Final = 5.0
"""A disk that takes longer for one commit has failed: alarms do not wait for it."""
TIGHT: Final = "the disk is nearly full: what central has goes first, and alarms never; free space on it"


class Keeping:
    """Called at every tick."""

    def __init__(self, config: "Config", recorder: Recorder, out: list[Action]) -> None:
        retention = config.retention
        self._recorder, self._out = recorder, out
        self._retention = Retention(retention.days, retention.journal_mb * 1_000_000, recorder.now.mono_s)
        self._copies: deque[Event] = deque()
        self.reason = ""
        """Why the journal is in memory, or a new one."""

    def moved(self, reason: str, copies: Iterable[Event] = ()) -> None:
        """The box goes on in another journal; copies: of what the one before had and this one has not."""
        self.reason = reason
        self.copies(copies)
        self._retention.restart(self._recorder.now.mono_s)
        self._watch()

    def copies(self, events: Iterable[Event]) -> None:
        """To be recorded here too, in parts."""
        self._copies.extend(events)

    def tick(self) -> str | None:
        """Everything that is due; why the disk counts as failed, if it does."""
        now = self._recorder.now
        # What was in memory alone gets to the disk in parts, so that nothing has to wait for it.
        while self._copies and self._recorder.unrecorded < COPIES_MAX:
            self._recorder.copy(self._copies.popleft())
        survey = self._retention.ask(now.mono_s, now.wall_us, now.synced, volatile=self._recorder.volatile)
        if survey is not None:
            self._out.append(survey)
        self._watch()
        oldest_s = self._recorder.oldest_s
        if oldest_s is not None and not self._recorder.volatile and now.mono_s >= oldest_s + STORAGE_TIMEOUT_S:
            return f"the disk has not answered for {STORAGE_TIMEOUT_S:.0f} s; replace the card"
        return None

    def due_s(self) -> float | None:
        """When `tick` has something to do next."""
        if self._copies and self._recorder.unrecorded < COPIES_MAX:
            return self._recorder.now.mono_s
        return self._retention.due_s()

    def surveyed(self, found: Surveyed, outbox: Outbox) -> None:
        """What the journal found goes, and its record with it in one transaction."""
        self._retention.answer(found, self._recorder.now.mono_s)
        if not found.ranges or found.cause == "":
            return
        data: PrunedData = {"cause": found.cause, "count": found.count, "holes": [list(hole) for hole in found.ranges]}
        if found.undelivered:
            data["undelivered"] = found.undelivered
        outbox.drop([(first, last) for first, last, _ in found.ranges])
        self._recorder.record("audit.pruned", "journal", data, prune=found.ranges)

    def tight(self, message: StorageTight) -> None:
        """The disk was full for a moment."""
        self._out.append(Say("error", f"{message.reason}; the reserve was given up for it"))
        self._retention.look_now(self._recorder.now.mono_s)

    def _watch(self) -> None:
        if reason := self.reason or (TIGHT if self._retention.tight else ""):
            self._recorder.trouble("storage", reason)
        elif not self._copies:  # that it began is among them, and has its number before that it is over
            self._recorder.trouble_over("storage")
