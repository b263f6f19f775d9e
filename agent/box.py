"""The box decides here: what a reading, a receipt, a command or a moment means. Pure, in virtual time.

Values come in by `handle` and `tick`; what is to be done comes out by `drain`. No thread, no lock, no I/O: the loop
is the only caller, and the simulated world in the tests is another one.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

from agent.alarms import Alarms
from agent.central import Central
from agent.events import Event, Stamp
from agent.identity import Signer
from agent.keeping import Keeping
from agent.link import Link
from agent.lists import Lists
from agent.lists_mail import ListMessage
from agent.mail import (
    NEIGHBOUR,
    Acked,
    Action,
    Answered,
    Arrived,
    Fetched,
    Message,
    NewJournal,
    OwedAgain,
    Recorded,
    Say,
    SessionDown,
    SessionUp,
    StorageFailed,
    StorageTight,
    Surveyed,
    Write,
    for_its_journal,
    one_transaction,
)
from agent.media import Media
from agent.media_mail import FetchedFiles, MediaMessage, OwedFile, SurveyedFiles
from agent.models import FINAL, CommandData, LastEnd, StoppingData
from agent.neighbours import Neighbours
from agent.outbox import Outbox
from agent.outputs import Outputs
from agent.path_mail import PathMessage
from agent.paths import Paths
from agent.patrols import Patrols
from agent.position import Position
from agent.power import Power
from agent.recorder import Recorder
from agent.report import Report
from agent.supervision import SETTING, Supervision
from agent.timekeeping import Timekeeping
from agent.uplink import Uplink
from agent.walktest import Walktest
from agent.zones import Zones
from drivers.contract import Code, Edge, Fix, Health, Paper, Reading

if TYPE_CHECKING:
    from agent.config import Config
    from agent.journal import Opened

TICK_S_MAX: Final = 1.0
ALARM_FIRST_S: Final = 0.05
"""So long all else waits for an alarm that is on its way to the disk; a disk that takes longer stops nothing."""


class Box:
    """One box: its zones, cases, lamps, journal and way to central."""

    def __init__(
        self, config: "Config", opened: "Opened", signer: Signer, boot: str, now: Stamp, rng: random.Random
    ) -> None:
        self._config, self._rng = config, rng
        self._out: list[Action] = []
        source = f"/callbox/{config.box.site}/{config.box.id}"
        self._recorder = Recorder(source, opened, signer, boot, now, rng, self._out)
        self._alarms = Alarms(opened.cases, self._recorder)
        self._lists = Lists(config.lists, self._alarms, self._recorder, self._out)
        self._media = Media(config, opened, self._lists, self._recorder, rng, self._out)
        self._paths = Paths(config, opened, self._recorder, self._out)
        self._patrols = Patrols(config.patrols, opened.settings, self._recorder)
        self._position = Position(config, self._recorder)
        self._recorder.place = self._position.place
        points = [entry.id for entry in config.inputs if entry.kind != "position"]
        self._walktest = Walktest(points, opened.settings, self._alarms, self._recorder)
        self._zones = Zones(
            config.inputs,
            opened.settings,
            self._alarms,
            self._walktest,
            self._media,
            self._lists,
            self._patrols,
            self._recorder,
        )
        self._neighbours = Neighbours(config.box.site, config.neighbours, self._recorder, self._out)
        self._outputs = Outputs(config.outputs, self._alarms, self._lists, self._neighbours, self._recorder, self._out)
        self._report = Report(
            config, self._recorder, self._zones, self._media, self._outputs, self._neighbours, self._position
        )
        timing = config.timing
        self._uplink = Uplink(
            self._new_outbox(opened),
            Link(len(config.links), timing.retry_max_s, timing.ask_s, rng),
            heartbeat_s=timing.heartbeat_s,
            state=self._report.state,
            rng=rng,
            out=self._out,
        )
        self._supervision = Supervision(config, opened.settings.get(SETTING, ""), self._uplink, self._recorder)
        self._central = Central(
            config,
            opened.seen,
            self._alarms,
            self._walktest,
            self._media,
            self._lists,
            self._paths,
            self._uplink,
            self._supervision,
            self._outputs,
            self._recorder,
            self._out,
        )
        self._timekeeping = Timekeeping(f"{config.box.site}/{config.box.id}", self._recorder, self._out)
        self._power = Power(config, opened.settings, self._zones, self._recorder, self._out)
        self._keeping = Keeping(config, self._recorder, self._out)
        self._said_lost: set[str] = set()

    def _new_outbox(self, opened: "Opened") -> Outbox:
        return Outbox(
            opened.seq,
            opened.pending,
            self._rng,
            receipt_timeout_s=self._config.receipt_timeout_s,
            puback_delivers=self._config.delivery == "puback",
        )

    # ---- life

    def start(self, now: Stamp, *, last_end: str, new_journal: str, config_hash: str, config_changed: bool) -> None:
        """The first event of a run. last_end: `clean`, `crash` or `first`; new_journal: why there is a new one."""
        self._recorder.now = now
        # "crash" stands until this run ends in another way.
        self._recorder.started(cast(LastEnd, last_end), new_journal, {"last_end": "crash", "config": config_hash})
        if config_changed:
            self._recorder.record("audit.config", "box", {"sha256": config_hash})
        if new_journal:
            self._keeping.moved(new_journal)
        self._walktest.start()
        self._uplink.start(now.mono_s)
        self.tick(now)

    def quiet(self, now: Stamp) -> None:
        """The end of the run begins: each output to its safe state while its wire is there to set it."""
        self._recorder.now = now
        self._outputs.end()

    def stop(self, now: Stamp, end: LastEnd) -> None:
        """The end of the run. `clean`, `battery`: the last event; else the box comes back at once."""
        self._recorder.now = now
        self._zones.stop()
        self._central.tick(float("inf"))
        self._supervision.keep()
        self._patrols.keep()
        if end not in FINAL:
            self._recorder.keep({"last_end": end})
            return
        data: StoppingData = {"reason": "battery"} if end == "battery" else {}
        self._recorder.record("status.stopping", "box", data, settings={"last_end": end})

    def say_goodbye(self, now: Stamp) -> int | None:
        """Tells central that this session ends on purpose; the token of that message, None without a session."""
        self._recorder.now = now
        return self._uplink.say_goodbye(now.mono_s)

    def new_journal(self, opened: "Opened", reason: str, now: Stamp) -> None:
        """The disk has failed; what was not yet on it goes into this journal, and out from there.

        So do the alarms that central does not have yet and that are in memory.
        """
        self._recorder.now = now
        self._alarms.moved(self._recorder.move(opened, reason, self._uplink.outbox.alarms()))
        self._moved_to(opened, reason)

    def disk_is_back(
        self, opened: "Opened", reason: str, signer: Signer, left: "Opened", events: Sequence[Event], now: Stamp
    ) -> None:
        """The journal on the disk goes on, with all that the one in memory, which is left, has: alarms at once.

        reason: why it is a new one there, if it is. events: those of the journal that is left.
        """
        self._recorder.now = now
        events = [event for event in events if event.seq <= self._recorder.seq]  # what waits is moved as it is
        alarms = [event for event in events if event.cls == "alarm"]
        self._alarms.moved(self._recorder.move(opened, reason, alarms, signer))
        settings = {name: value for name, value in left.settings.items() if name != "journal"}
        cases = self._alarms.rewritten(body for body, _ in opened.cases)
        self._out.append(Write(cases=cases, seen=left.seen, settings=settings))
        self._moved_to(opened, reason, [event for event in events if event.cls != "alarm"], left.files)

    def salvaged(self, events: Sequence[Event], now: Stamp) -> None:
        """Events that a damaged journal owed are recorded anew, under their ids."""
        self._recorder.now = now
        self._out.append(Say("info", f"{len(events)} events of the journal that was moved aside are recorded anew"))
        self._keeping.copies(events)

    def _moved_to(
        self, opened: "Opened", reason: str, copies: Sequence[Event] = (), files: tuple[OwedFile, ...] = ()
    ) -> None:
        self._uplink.replace(self._new_outbox(opened))
        self._media.moved(opened, files)
        self._paths.moved(opened)
        self._supervision.compliance.forget()
        self._keeping.moved(reason, copies)

    # ---- in

    def handle(self, message: Message | Reading, now: Stamp) -> None:
        """Takes one message; `drain` says what follows from it."""
        self._recorder.now = now
        if isinstance(message, Acked):
            if message.session == self._media.uploads.session:
                self._media.uploads.acked(message, now.mono_s)
            elif delivered := self._uplink.acked(message, now.mono_s):
                self._central.delivered(delivered)
                self._outputs.may_change = True
            return
        self._outputs.may_change = True
        if isinstance(message, MediaMessage):
            if not isinstance(message, FetchedFiles | SurveyedFiles) or message.journal == self._recorder.journal:
                self._media.handle(message)
            return
        if isinstance(message, ListMessage):
            self._lists.handle(message)
            return
        match message:
            case Edge() | Code() | Paper() | Health():
                self._zones.reading(message)
            case Fix():
                self._zones.reading(message)
                self._position.fix(message)
                self._timekeeping.receiver.fix(message)
            case Recorded(journal=journal) if journal == self._recorder.journal:
                self._media.uploads.owed_bytes = message.media_bytes
                for event in self._recorder.recorded(message):
                    self._uplink.recorded(event, now.mono_s)
                    self._supervision.recorded(event)
                    self._paths.recorded(event)
            case Fetched(journal=journal) if journal == self._recorder.journal:
                self._uplink.fetched(message)
            case OwedAgain(journal=journal) if journal == self._recorder.journal:
                self._recorder.pending = message.pending
                self._uplink.owed_again(message)
                self._media.uploads.reload(message.media_bytes)
            case Surveyed(journal=journal) if journal == self._recorder.journal:
                self._keeping.surveyed(message, self._uplink.outbox)
            case StorageTight(journal=journal) if journal == self._recorder.journal:
                self._keeping.tight(message)
                self._media.look_now()
            case StorageFailed(journal=journal) if journal == self._recorder.journal:
                self._storage_failed(message.reason)
            case SessionUp(session=session) if session == self._media.uploads.session:
                self._media.uploads.up(message, now.mono_s)
            case SessionDown(session=session) if session == self._media.uploads.session:
                self._media.uploads.down(now.mono_s)
            case SessionUp():
                self._session_up(message)
            case SessionDown():
                if self._uplink.down(message, now.mono_s):
                    self._say_lost(f"{message.reason}; {message.hint or 'it is tried again'}")
            case Answered():
                self._uplink.answered(message, now.mono_s)
            case Arrived(topic="receipt"):
                self._central.receipt(message)
            case Arrived(topic="command"):
                self._central.command(message)
            case Arrived(topic=topic):
                self._neighbours.arrived(topic.removeprefix(NEIGHBOUR), message)
            case _ if isinstance(message, PathMessage):
                self._paths.handle(message)
            case _:
                pass  # a late word of a journal or session that is no more

    def resend(self, request: Mapping[str, Any], answer: Callable[[CommandData], None], now: Stamp) -> None:
        """Somebody at the box itself asks for events again; `answer` hears what became of it."""
        self._recorder.now = now
        self._central.resend(request, answer)

    def tick(self, now: Stamp) -> None:
        """Everything that is due by now."""
        self._recorder.now, self._outputs.may_change = now, True
        self._zones.tick(now.mono_s)
        self._walktest.tick(now.mono_s)
        self._central.tick(now.mono_s)
        self._neighbours.tick(now.mono_s)
        if (reason := self._keeping.tick()) is not None:
            self._storage_failed(reason)
        if (reason := self._uplink.tick(now.mono_s)) is not None:
            self._say_lost(reason)
        self._media.tick()
        self._supervision.tick()
        self._timekeeping.tick()
        self._power.tick()
        self._patrols.tick()

    def due_s(self) -> float:
        """The monotonic second of the next `tick`."""
        now_s = self._recorder.now.mono_s
        dues = [
            self._zones.due_s(),
            self._walktest.due_s(),
            self._central.due_s(),
            self._uplink.due_s(),
            self._alarms.due_s(now_s),
            self._outputs.due_s(),
            self._neighbours.due_s(),
            self._keeping.due_s(),
            self._media.due_s(),
            self._timekeeping.due_s(),
            self._power.due_s(),
            self._paths.due_s(),
            now_s if self._uplink.outbox.doubtful else None,
            (self._recorder.alarm_s or now_s) + ALARM_FIRST_S if self.alarm_under_way else None,
        ]
        return min([now_s + TICK_S_MAX, *(due for due in dues if due is not None)])

    def drain(self) -> list[Action]:
        """What is to be done, in this order. What was decided since the last time is written whole or not at all."""
        self._after()
        return self.decided()

    def decided(self) -> list[Action]:
        """The same without what follows from it: what goes to the disk need not wait for the lamps."""
        out = self._out[:]
        self._out.clear()
        return one_transaction(for_its_journal(out))

    # ---- what is watched

    def _storage_failed(self, reason: str) -> None:
        self._out.append(Say("error", f"the journal failed: {reason}; events are kept in memory and sent from there"))
        self._out.append(NewJournal(reason))

    def _say_lost(self, reason: str) -> None:
        """Once for each reason, until it is back."""
        if reason not in self._said_lost:
            self._said_lost.add(reason)
            self._out.append(Say("warning", f"link lost: {reason}"))

    def _session_up(self, message: SessionUp) -> None:
        if self._uplink.up(message, self._recorder.now.mono_s, self._recorder.seq):
            self._said_lost.clear()
            link = self._config.links[self._uplink.link.index]
            self._neighbours.deaf(message.deaf)
            self._out.append(Say("info", f"link up: {link.host}:{link.port}, MQTT {message.protocol}"))

    # ---- what shows

    def _after(self) -> None:
        """What follows from all that was decided: the lamps, messages to send, what cannot be sent."""
        now_s = self._recorder.now.mono_s
        self._outputs.update(line_broken=self._supervision.shows)
        self._uplink.pump(now_s, alarms_only=self.alarm_under_way)
        self._media.pump(self._uplink, alarm_under_way=self.alarm_under_way)
        self._paths.pump(alarm_under_way=self.alarm_under_way)
        self._central.park_unsent()

    @property
    def seq(self) -> int:
        """The last boxseq that is on the disk."""
        return self._recorder.seq

    @property
    def unrecorded(self) -> int:
        """Events on their way to the disk, and scans that wait for the lists before."""
        return self._recorder.unrecorded + self._lists.waiting

    @property
    def alarm_under_way(self) -> bool:
        """An alarm is on its way to the disk: for a moment nothing else is begun that it would have to wait for."""
        alarm_s = self._recorder.alarm_s
        return alarm_s is not None and self._recorder.now.mono_s < alarm_s + ALARM_FIRST_S

    @property
    def in_flight(self) -> int:
        """Messages on their way to the broker."""
        return self._uplink.outbox.in_flight

    def status(self) -> dict[str, Any]:
        """What `callbox status` shows."""
        rooms = {"lists": self._lists.status, "paths": self._paths.status()}
        return {**self._report.status(self._alarms, self._uplink, self._supervision), **rooms}
