"""The inputs as zones: each reading qualified, and recorded as what its kind means. Pure.

Edge -> debounce -> chatter -> alarm case | trouble of mains or battery | reset
Code, Paper -> scan               Health -> trouble of the input
a press of kind scan -> a camera reads
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, cast

from agent.alarms import Alarms
from agent.events import Stamp
from agent.inputs import Chatter, Contact, Fact, Pressed, Stuck
from agent.kinds import KINDS, class_of
from agent.lists import Lists, Scan
from agent.media import Media
from agent.messages import InputState
from agent.models import ChangeData, ContactData
from agent.models_scans import DocumentData, OnLists, ScanData
from agent.patrols import Patrols
from agent.reads import put_code
from agent.recorder import Recorder
from agent.walktest import Walktest
from drivers.contract import Code, Edge, Health, Paper, Quality, Reading

if TYPE_CHECKING:
    from agent.config import Input

REPEAT_S: Final = 3.0
"""A device that repeats a press while it is held down does so at least this often."""


class Zone:
    """One input: as in the config, and as it is now. Value and quality are two things."""

    def __init__(self, entry: "Input", settings: Mapping[str, str]) -> None:
        """settings: the journal's; with what an earlier run told, and with changes that it counted and did not tell."""
        self.id, self.kind, self.cameras, self.entry = entry.id, entry.kind, entry.cameras, entry
        scans = KINDS[entry.kind].event.startswith("scan.")
        self.picture = entry.capture == "picture" or (scans and entry.capture is None)
        self.quality: Quality = "offline"
        raised = KINDS[entry.kind].contact and settings.get(_raised(entry.id)) == "1"
        self.said_s = float("-inf")
        """When the device last said that it is pressed."""
        self.contact = Contact(entry.debounce_ms / 1000, active=raised)
        self.chatter = Chatter(merged=int(settings.get(_merged(entry.id), 0)))
        self.reason = ""
        self.faults = Chatter()
        """A loose wire goes and comes all the time."""

    @property
    def state(self) -> InputState:
        return {"value": "active" if self.contact.active else "idle", "quality": self.quality}


class Zones:
    """All inputs of the box."""

    def __init__(
        self,
        entries: Sequence["Input"],
        settings: Mapping[str, str],
        alarms: Alarms,
        walktest: Walktest,
        media: Media,
        lists: Lists,
        patrols: Patrols,
        recorder: Recorder,
    ) -> None:
        """settings: the journal's."""
        self._zones = {entry.id: Zone(entry, settings) for entry in entries}
        self._alarms, self._walktest, self._media = alarms, walktest, media
        self._lists, self._patrols, self._recorder = lists, patrols, recorder
        self._due_s: float | None = None
        self._due_known = False
        for zone in self._zones.values():
            if zone.contact.active and not KINDS[zone.kind].alarm:
                self._recorder.troubles[f"{zone.kind} {zone.id}"] = zone.id

    def state(self) -> dict[str, InputState]:
        """As in the retained state: value and quality by id."""
        return {zone.id: zone.state for zone in self._zones.values()}

    def active(self, names: Sequence[str]) -> bool:
        """Whether one of these inputs is active, as far as its device has said so in this run."""
        return any(self._zones[name].contact.seen and self._zones[name].contact.active for name in names)

    def heard(self, names: Sequence[str]) -> bool:
        """Whether the device of each has said in this run how it is."""
        return all(self._zones[name].contact.seen for name in names)

    @property
    def silent(self) -> set[str]:
        """Ids of the inputs that nothing at the place may show."""
        return {zone.id for zone in self._zones.values() if KINDS[zone.kind].silent}

    def reading(self, reading: Reading) -> None:
        """Something a driver saw."""
        self._due_known = False
        zone = self._zones.get(reading.input)
        if zone is None:
            return
        if isinstance(reading, Health):
            if reading.quality == "good" != zone.quality:
                zone.contact.forget()
            self._quality(zone, reading.quality, reading.reason)
            return
        self._quality(zone, "good", "")
        if isinstance(reading, Edge):
            if self._release_was_lost(zone, reading):
                self._fact(zone, Pressed(reading.seen_s))
            for fact in zone.contact.edge(
                reading.active, reading.seen_s, initial=reading.initial, settled=reading.settled
            ):
                self._fact(zone, fact)
        elif isinstance(reading, Code):
            self._scan(zone, reading)
        elif isinstance(reading, Paper):
            self._paper(zone, reading)

    def _release_was_lost(self, zone: Zone, edge: Edge) -> bool:
        """Pressed, a while of silence, and pressed again, by a device's word: a second press, which may not be lost.

        Without the silence it is a device that repeats what is held down.
        """
        if not (edge.settled and edge.active):
            return False
        silence_s, zone.said_s = edge.seen_s - zone.said_s, edge.seen_s
        return zone.contact.active and not KINDS[zone.kind].contact and silence_s >= REPEAT_S

    def tick(self, now_s: float) -> None:
        """What is due by now: settled debounces, stuck buttons, sums of chatter, scans that waited for lists."""
        self._due_known = False
        for zone in self._zones.values():
            for fact in zone.contact.tick(now_s):
                self._fact(zone, fact)
            self._sum(zone, now_s)
        self._lists.tick()

    def stop(self) -> None:
        """The box ends: what was merged until now is told now."""
        for zone in self._zones.values():
            self._sum(zone, float("inf"))
        self._media.reads.stop()
        self._lists.stop()

    def due_s(self) -> float | None:
        """When `tick` has something to say next."""
        if not self._due_known:
            zones = self._zones.values()
            dues = [due for z in zones for due in (z.contact.due_s(), z.chatter.due_s(), z.faults.due_s())]
            self._due_s, self._due_known = min((due for due in dues if due is not None), default=None), True
        return min((due for due in (self._due_s, self._lists.due_s()) if due is not None), default=None)

    def _sum(self, zone: Zone, now_s: float) -> None:
        if changes := zone.chatter.sum(now_s):
            pressed = zone.contact.active or not KINDS[zone.kind].contact
            self._change(zone, pressed, changes, self._recorder.now, merged=True)
            self._recorder.keep({_merged(zone.id): "0"})
        if changes := zone.faults.sum(now_s):
            self._tell_quality(zone, changes)

    def _quality(self, zone: Zone, quality: Quality, reason: str) -> None:
        """Every input is offline until it is heard of; that is a trouble only when its driver says so."""
        changed = quality != zone.quality
        zone.quality, zone.reason = quality, reason
        if changed and zone.faults.admit(self._recorder.now.mono_s):
            self._recorder.trouble_over(f"input {zone.id}")
            self._tell_quality(zone)
        elif not changed and zone.faults.due_s() is None:
            self._tell_quality(zone)

    def _tell_quality(self, zone: Zone, changes: int = 0) -> None:
        name, quality = f"input {zone.id}", zone.quality
        if quality == "good":
            self._recorder.trouble_over(name, changes=changes)
        else:
            reason = f"{quality}: {zone.reason}" if zone.reason else quality
            self._recorder.trouble(name, reason, quality=quality, changes=changes)

    def _fact(self, zone: Zone, fact: Fact) -> None:
        if isinstance(fact, Stuck):
            if KINDS[zone.kind].contact:
                return  # a door that stays open, mains that stay out: no fault of the contact
            # A log may be on a screen at the place, and this one would tell that a silent button was pressed.
            silent = KINDS[zone.kind].silent
            if fact.over:
                self._recorder.trouble_over(f"stuck {zone.id}", silent=silent)
            else:
                self._recorder.trouble(f"stuck {zone.id}", "asserted for 30 s, or since the start", silent=silent)
            return
        at = self._recorder.at(fact.seen_s)
        pressed = isinstance(fact, Pressed)
        if not pressed and not KINDS[zone.kind].contact:
            return
        if pressed:
            self._walktest.saw(zone.id)
        if zone.kind == "reset":
            if not (isinstance(fact, Pressed) and fact.at_boot):  # nobody was seen to press it
                self._alarms.reset(at)
        elif zone.kind == "patrol":
            seen = not (isinstance(fact, Pressed) and fact.at_boot)  # a contact that is stuck walks no round
            self._record(zone, {"input": zone.id}, at, counts=seen)
        elif zone.kind == "scan":
            if not (isinstance(fact, Pressed) and fact.at_boot):  # the same: nothing is read by itself
                self._read(zone, at)
        elif zone.chatter.admit(self._recorder.now.mono_s):
            at_boot = isinstance(fact, Pressed) and fact.at_boot
            self._change(zone, pressed, 1, at, at_boot=at_boot)
        else:
            # What the next sum will tell is on the disk too: a power cut before it loses no press.
            self._recorder.keep({_merged(zone.id): str(zone.chatter.merged)})

    def _change(
        self, zone: Zone, pressed: bool, changes: int, at: Stamp, *, at_boot: bool = False, merged: bool = False
    ) -> None:
        """A press, or `changes` merged ones, or the return to idle of a contact."""
        data: ChangeData = {"transition": "raised" if pressed else "restored", "input": zone.id}
        if at_boot:
            data["at_boot"] = True
        if merged:
            data["merged"], data["changes"] = True, changes
        if KINDS[zone.kind].contact:
            self._recorder.keep({_raised(zone.id): "1" if pressed else "0"})
        if zone.kind == "cancel":
            self._capture(zone, self._alarms.cancel(zone.id, at, data), at)
        elif not KINDS[zone.kind].alarm:
            if pressed:
                self._recorder.troubles[f"{zone.kind} {zone.id}"] = zone.id
            else:
                self._recorder.troubles.pop(f"{zone.kind} {zone.id}", None)
            counted: ContactData = {**data, "count": changes}
            self._recorder.record(KINDS[zone.kind].event, zone.id, counted, at=at)
        elif pressed:
            self._capture(zone, self._alarms.press(zone.id, zone.kind, changes, at, data), at)
        else:
            self._alarms.restore(zone.id, zone.kind, at, data)

    def _scan(self, zone: Zone, code: Code) -> None:
        self._walktest.saw(zone.id)
        at = self._recorder.at(code.seen_s)

        def record(said: OnLists) -> str:
            data: ScanData = {"input": zone.id, **said}
            put_code(data, code.code)
            if code.format:
                data["format"] = code.format
            return self._record(zone, data, at)

        self._lists.scanned(Scan(zone.entry, code.code, at, self._media.evidence), record)

    def _paper(self, zone: Zone, paper: Paper) -> None:
        """At a patrol point too it is a document, and no tag."""
        self._walktest.saw(zone.id)
        id, at = self._recorder.new_id(), self._recorder.at(paper.seen_s)
        kept = self._media.papers.scanned(paper)

        def record(said: OnLists) -> str:
            data = cast(DocumentData, {"input": zone.id, **kept, **said})
            self._recorder.record("scan.document", zone.id, data, id=id, at=at)
            self._capture(zone, id, at)
            return id

        number = paper.fields.get("number", "")
        self._lists.scanned(Scan(zone.entry, number, at, self._media.evidence, told="number" in kept), record)

    def _read(self, zone: Zone, at: Stamp) -> None:
        """The first camera reads, and its picture is evidence; beside it all is as of any scan."""
        id = self._media.reads.pressed(zone.entry, at)
        watching = zone.cameras[1:] if zone.picture else zone.cameras
        self._media.evidence.caused(id, class_of("scan.code"), watching, at, picture=zone.picture)

    def _record(self, zone: Zone, data: ScanData, at: Stamp, *, counts: bool = True) -> str:
        """counts: as a round, at a patrol point."""
        id = self._recorder.new_id()
        rounds = self._patrols.of(zone.id, data.get("code")) if zone.kind == "patrol" else None
        if rounds is not None:
            data["patrols"] = rounds = rounds if counts else []
        self._recorder.record(KINDS[zone.kind].event, zone.id, data, id=id, at=at)
        self._patrols.checked_in(rounds or ())
        self._capture(zone, id, at)
        return id

    def _capture(self, zone: Zone, case: str, at: Stamp) -> None:
        """What the cameras see of it is evidence."""
        if zone.cameras:
            cls = class_of(KINDS[zone.kind].event)
            self._media.evidence.caused(case, cls, zone.cameras, at, picture=zone.picture)


def _raised(input_id: str) -> str:
    """The journal's setting that says whether `raised` of a contact was told, and `restored` not yet."""
    return f"raised {input_id}"


def _merged(input_id: str) -> str:
    """The journal's setting that counts the changes of an input that no event has told yet."""
    return f"merged {input_id}"
