"""Patrol rounds: did an officer check in within the time? Pure, in virtual time.

    check-in --> 0 s watched .. every_min: the round is owed .. + grace_min: it is missed --> trouble, until a check-in

Only what was watched counts: seconds of the monotonic clock in which the box ran, knew the time of day and the patrol's
hours were open. So no step of the clock, no clock that nobody has set, and no cut of power makes up a missed round.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Final

from agent.recorder import Recorder

if TYPE_CHECKING:
    from agent.config import Patrol

KEEP_S: Final = 300.0
"""What was watched is written to the disk this often: a cut of power makes a missed round later by it, no sooner."""
ALWAYS: Final = "always"


class _Watch:
    """One patrol, and the seconds watched since its last round. hours: those that are counted, by their first day."""

    def __init__(self, entry: "Patrol", stored: str) -> None:
        self.entry = entry
        self.every_s, self.grace_s = entry.every_min * 60.0, entry.grace_min * 60.0
        hours, watched_s, missed = (stored or "- 0 0").split()
        self.hours, self.watched_s, self.missed = hours, float(watched_s), missed == "1"
        self.kept = self.stored

    @property
    def stored(self) -> str:
        return f"{self.hours} {self.watched_s:.0f} {self.missed:d}"

    @property
    def owed(self) -> bool:
        """Its time is over; what is left is the grace."""
        return self.watched_s >= self.every_s

    def open_at(self, local: datetime) -> str | None:
        """The hours that are open then, by the day on which they began; None: they are closed."""
        begin, end, minute = self.entry.from_minute, self.entry.to_minute, local.hour * 60 + local.minute
        if begin == end:
            return ALWAYS
        if begin < end:
            return local.date().isoformat() if begin <= minute < end else None
        if end <= minute < begin:
            return None
        return (local.date() - timedelta(days=minute < end)).isoformat()


class Patrols:
    """All patrols of the box."""

    def __init__(
        self, entries: Sequence["Patrol"], settings: Mapping[str, str], recorder: Recorder, zone: tzinfo | None = None
    ) -> None:
        """settings: the journal's. zone: in which the hours are told; None: the operating system's."""
        self._recorder, self._zone = recorder, zone
        self._watches = [_Watch(entry, settings.get(_setting(entry.name), "")) for entry in entries]
        self._ticked_s = self._kept_s = recorder.now.mono_s
        self._offset_us: float | None = None
        """The wall clock less the monotonic one, when the kernel last held it for right; None: not in this run."""

    def of(self, input_id: str, tag: str | None) -> list[str] | None:
        """Names of the patrols whose round a tag at this input is; None where the input is of no patrol."""
        here = [watch.entry for watch in self._watches if watch.entry.input == input_id]
        return [entry.name for entry in here if not entry.tags or tag in entry.tags] if here else None

    def checked_in(self, names: Sequence[str]) -> None:
        """A round of these is done; their time begins anew."""
        for watch in self._watches:
            if watch.entry.name in names:
                watch.watched_s, watch.missed = 0.0, False
                self._recorder.trouble_over(f"patrol {watch.entry.name}")
                self._keep(watch)

    def tick(self) -> None:
        """Called at least once a second."""
        now_s = self._recorder.now.mono_s
        elapsed_s, self._ticked_s = now_s - self._ticked_s, now_s
        local = self._local()
        for watch in self._watches:
            if local is not None:
                self._watch(watch, local, elapsed_s)
            if watch.missed:  # also one of an earlier run, which is told again
                entry = watch.entry
                reason = f"no round at {entry.input} within {entry.every_min} min and {entry.grace_min} min of grace"
                self._recorder.trouble(f"patrol {entry.name}", reason)
        if now_s >= self._kept_s + KEEP_S:
            self.keep()

    def keep(self) -> None:
        """Remembers on the disk what was watched."""
        self._kept_s = self._recorder.now.mono_s
        for watch in self._watches:
            self._keep(watch)

    def _keep(self, watch: _Watch) -> None:
        if watch.kept != watch.stored:
            watch.kept = watch.stored
            self._recorder.keep({_setting(watch.entry.name): watch.kept})

    def _watch(self, watch: _Watch, local: datetime, elapsed_s: float) -> None:
        hours, limit_s = watch.open_at(local), watch.every_s + watch.grace_s
        if hours not in (None, watch.hours) and not watch.owed:
            watch.hours, watch.watched_s = hours or "", 0.0  # the first round counts from their beginning
        elif hours == watch.hours or watch.owed:  # what was owed when they closed is owed still
            watch.watched_s = min(watch.watched_s + elapsed_s, limit_s)
        if watch.watched_s >= limit_s and not watch.missed:
            watch.missed = True
            self._keep(watch)

    def _local(self) -> datetime | None:
        """The time of day; None while nobody has set the clock since the start."""
        now = self._recorder.now
        if now.synced:
            self._offset_us = now.wall_us - now.mono_s * 1e6
        if self._offset_us is None:
            return None
        return datetime.fromtimestamp((self._offset_us + now.mono_s * 1e6) / 1e6, self._zone)


def _setting(name: str) -> str:
    """The journal's setting of a patrol: the hours that are counted, the seconds watched, and whether one is missed."""
    return f"patrol {name}"
