"""The box decides here: what a reading, a receipt, a command or a moment means. Pure, in virtual time.

Values come in by `handle` and `tick`; what is to be done comes out by `drain`. No thread, no lock, no I/O: the loop
is the only caller, and the simulated world in the tests is another one.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from agent import __version__
from agent.alarms import WAITING_S, Alarms, Case
from agent.commands import NOTE_CHARS_MAX, Command, Commands, RefusedError, clean, ranges, read_receipt
from agent.events import Chain, Draft, Event, Stamp, rfc3339, uuid7
from agent.feedback import Feedback, Show
from agent.identity import Signer, b64
from agent.inputs import Chatter, Contact, Fact, Pressed, Stuck
from agent.kinds import KINDS
from agent.mail import (
    Acked,
    Action,
    Arrived,
    Fetched,
    Message,
    NewJournal,
    Range,
    Recorded,
    Say,
    SessionDown,
    SessionUp,
    SetOutput,
    StorageFailed,
    Write,
)
from agent.outbox import Outbox
from agent.uplink import Uplink
from drivers.contract import Code, Edge, Health, Reading

if TYPE_CHECKING:
    from agent.config import Config, Input
    from agent.journal import Opened

STORAGE_TIMEOUT_S: Final = 5.0
"""A disk that takes longer for one commit has failed: alarms do not wait for it."""
LINK_TROUBLE_S: Final = 30.0
"""Without a session for so long is a trouble of the link."""
CLOCK_STEP_S: Final = 1.0
CODE_CHARS_MAX: Final = 8_000
TICK_S_MAX: Final = 1.0

Then = Callable[[float], None]
"""Done when an event is on the disk, with the monotonic second."""


class Box:
    """One box: its inputs, open cases, lamps, journal and way to central."""

    def __init__(
        self, config: Config, opened: Opened, signer: Signer, boot: str, now: Stamp, rng: random.Random
    ) -> None:
        self._config, self._signer, self._boot, self._rng = config, signer, boot, rng
        self._out: list[Action] = []
        self._inputs = {entry.id: _Input(entry) for entry in config.inputs}
        self._commands = Commands(f"{config.box.site}/{config.box.id}", config.operators, opened.seen)
        self._refusals, self._refusal = Chatter(), ""
        self.troubles: dict[str, str] = {}
        self._feedback = Feedback()
        self._lit: dict[str, bool] = {}
        self._offset_s = now.wall_us / 1e6 - now.mono_s
        self._noise = Chatter()
        self._now = now
        self._link_up_s = now.mono_s
        self._closing: dict[str, Case] = {}
        self._take_over(opened)
        self.alarms = Alarms(opened.cases, now.mono_s)
        self.uplink = Uplink(
            self._new_outbox(opened),
            links=len(config.links),
            heartbeat_s=config.timing.heartbeat_s,
            retry_max_s=config.timing.heartbeat_s,
            state=self._state,
            rng=rng,
            out=self._out,
        )

    def _take_over(self, opened: Opened) -> None:
        box = self._config.box
        self._chain = Chain(
            f"/callbox/{box.site}/{box.id}", opened.name, self._boot, self._signer, opened.seq, opened.prevhash
        )
        self._volatile = opened.volatile
        self.pending = dict(opened.pending)
        self._waiting: deque[_Waiting] = deque()

    def _new_outbox(self, opened: Opened) -> Outbox:
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
        self._now = now
        data: dict[str, Any] = {"agent": __version__, "last_end": last_end}
        if new_journal:
            data["new_journal"] = new_journal
        settings = {"last_end": "crash", "config": config_hash}  # so it stays if this run does not end cleanly
        self._record("status.started", "box", data, settings=settings)
        if config_changed:
            self._record("audit.config", "box", {"sha256": config_hash})
        if new_journal:
            self._trouble("storage", new_journal)
        self.uplink.start(now.mono_s)
        self.tick(now)

    def stop(self, now: Stamp, *, reload: bool) -> int | None:
        """A clean end: the last event, the lamps dark, goodbye to central. The token of that message, or None.

        reload: the box comes back at once; nobody needs to hear of it.
        """
        self._now = now
        if reload:
            self._out.append(Write(settings={"last_end": "reload"}))
            return None
        self._record("status.stopping", "box", {}, settings={"last_end": "clean"})
        for output in [name for name, lit in self._lit.items() if lit]:
            self._light(output, False)
        return self.uplink.say_goodbye(now.mono_s)

    def new_journal(self, opened: Opened, reason: str, now: Stamp) -> None:
        """The disk has failed; what was not yet on it goes into this journal, and out from there.

        The event's ids stay, so that central drops what it may still get from the old journal as a repeat.
        """
        self._now = now
        waiting = self._waiting
        seqs: dict[int, int] = {}
        self._take_over(opened)
        self._record("status.started", "journal", {"agent": __version__, "last_end": "storage", "new_journal": reason})
        for old in waiting:
            seqs[old.event.seq] = self._seal(old.draft, old.then, Write()).seq
        for case in self.alarms.open.values():
            case.last_seq = seqs.get(case.last_seq, 0)
            case.delivered = case.delivered or case.last_seq == 0
        self.uplink.replace(self._new_outbox(opened))
        self._trouble("storage", reason)
        self._after()

    # ---- in

    def handle(self, message: Message | Reading, now: Stamp) -> None:
        """Takes one message; `drain` says what follows from it."""
        self._now = now
        match message:
            case Edge() | Code() | Health():
                self._reading(message)
            case Recorded(journal=journal) if journal == self._chain.journal:
                self._on_recorded(message)
            case Fetched(journal=journal) if journal == self._chain.journal:
                self.uplink.fetched(message)
            case StorageFailed(journal=journal) if journal == self._chain.journal:
                self._storage_failed(message.reason)
            case SessionUp():
                self._session_up(message)
            case SessionDown():
                if self.uplink.down(message, now.mono_s):
                    self._out.append(
                        Say("warning", f"link lost: {message.reason}; {message.hint or 'it is tried again'}")
                    )
            case Acked():
                self._delivered(self.uplink.acked(message))
            case Arrived(topic="receipt"):
                self._receipt(message)
            case Arrived(topic="command"):
                self._command(message)
            case _:
                pass  # a late word of a journal or session that is no more
        self._after()

    def tick(self, now: Stamp) -> None:
        """Everything that is due by now."""
        self._now = now
        for state in self._inputs.values():
            for fact in state.contact.tick(now.mono_s):
                self._fact(state, fact)
            if merged := state.chatter.sum(now.mono_s):
                self._merged(state, merged)
        if refused := self._refusals.sum(now.mono_s):
            data = {"result": "refused", "reason": self._refusal, "count": refused, "merged": True}
            self._record("audit.command", "box", data)
        if self._waiting and not self._volatile and now.mono_s >= self._waiting[0].since_s + STORAGE_TIMEOUT_S:
            self._storage_failed(f"the disk has not answered for {STORAGE_TIMEOUT_S:.0f} s; replace the card")
        if (reason := self.uplink.tick(now.mono_s)) is not None:
            self._out.append(Say("warning", f"link dropped: {reason}"))
        self._watch_link()
        self._watch_clock()
        self._after()

    def due_s(self) -> float:
        """The monotonic second of the next `tick`."""
        dues = [self._now.mono_s + TICK_S_MAX, self.uplink.due_s()]
        for state in self._inputs.values():
            dues += [due for due in (state.contact.due_s(), state.chatter.due_s()) if due is not None]
        dues += [due for due in (self._refusals.due_s(), self._feedback.due_s(self._now.mono_s)) if due is not None]
        waits = [case.shown_s + WAITING_S for case in self.alarms.open.values() if case.shown_s is not None]
        dues += [due for due in waits if due > self._now.mono_s]
        return min(dues)

    def drain(self) -> list[Action]:
        """What is to be done, in this order."""
        out = _one_transaction(self._out[:])
        self._out.clear()
        return out

    @property
    def seq(self) -> int:
        """The last boxseq that is on the disk."""
        return self._chain.seq - len(self._waiting)

    @property
    def unrecorded(self) -> int:
        """Events on their way to the disk."""
        return len(self._waiting)

    # ---- recording

    def _record(
        self,
        type: str,
        subject: str,
        data: Mapping[str, Any],
        *,
        then: Then | None = None,
        id: str = "",
        at: Stamp | None = None,
        **write: Any,
    ) -> Event:
        """Seals an event and sends it to the journal; `write`: what changes with it, as in `Write`."""
        draft = Draft(id or self._new_id(), type, subject, at or self._now, data)
        return self._seal(draft, then, Write(**write))

    def _seal(self, draft: Draft, then: Then | None, write: Write) -> Event:
        event = self._chain.seal(draft)
        self._waiting.append(_Waiting(event, draft, then, self._now.mono_s))
        self._out.append(replace(write, events=(event,)))
        return event

    def _new_id(self) -> str:
        return uuid7(self._now.wall_us, self._rng.getrandbits(74))

    def _on_recorded(self, message: Recorded) -> None:
        self.pending = dict(message.pending)
        while self._waiting and self._waiting[0].event.seq <= message.through:
            waiting = self._waiting.popleft()
            self.uplink.recorded(waiting.event, self._now.mono_s)
            if waiting.then is not None:
                waiting.then(self._now.mono_s)

    def _storage_failed(self, reason: str) -> None:
        self._out.append(Say("error", f"the journal failed: {reason}; events are kept in memory and sent from there"))
        self._out.append(NewJournal(reason))

    def _park(self, event: Event, reason: str) -> None:
        """Nobody can take it: it is owed no more, and that is an event, unless it is about such an event itself."""
        if b'"type":"callbox.trouble.parked"' in event.body:
            self._out.append(Write(parked={event.seq: reason}))
            return
        data = {"transition": "raised", "parked": event.seq, "id": event.id, "reason": reason}
        self._record("trouble.parked", "journal", data, parked={event.seq: reason})

    # ---- inputs

    def _reading(self, reading: Reading) -> None:
        state = self._inputs.get(reading.input)
        if state is None:
            return
        if isinstance(reading, Health):
            self._quality(state, reading.quality, reading.reason)
            return
        self._quality(state, "good", "")
        if isinstance(reading, Edge):
            for fact in state.contact.edge(reading.active, reading.seen_s, reading.initial):
                self._fact(state, fact)
        else:
            self._scan(state, reading)

    def _quality(self, state: _Input, quality: str, reason: str) -> None:
        if quality == state.quality:
            return
        state.quality = quality
        self._trouble_over(f"input {state.id}")
        if quality != "good":
            self._trouble(f"input {state.id}", f"{quality}: {reason}" if reason else quality, quality=quality)

    def _fact(self, state: _Input, fact: Fact) -> None:
        if isinstance(fact, Stuck):
            if fact.over:
                self._trouble_over(f"stuck {state.id}")
            else:
                self._trouble(f"stuck {state.id}", "asserted for 30 s, or since the start")
            return
        at = self._seen(fact.seen_s)
        pressed = isinstance(fact, Pressed)
        if state.kind == "reset":
            if pressed:
                self._reset(state.id, at)
        elif (pressed or not KINDS[state.kind].latches) and state.chatter.admit(self._now.mono_s):
            at_boot = isinstance(fact, Pressed) and fact.at_boot
            self._change(state, pressed, 1, at, {"at_boot": True} if at_boot else {})

    def _merged(self, state: _Input, changes: int) -> None:
        pressed = state.contact.active or KINDS[state.kind].latches
        self._change(state, pressed, changes, self._now, {"merged": True, "changes": changes})

    def _change(self, state: _Input, pressed: bool, changes: int, at: Stamp, extra: Mapping[str, Any]) -> None:
        """Records a press, or `changes` merged ones, or the return to idle of a contact."""
        event = KINDS[state.kind].event
        data: dict[str, Any] = {"transition": "raised" if pressed else "restored", "input": state.id, **extra}
        if state.kind == "cancel":
            if pressed:
                newest = max(self.alarms.resettable(), key=lambda case: case.last_seq, default=None)
                self._record(event, state.id, data | ({"alarm": newest.id, "case": newest.id} if newest else {}), at=at)
        elif not KINDS[state.kind].alarm:
            if pressed:
                self.troubles[state.kind] = state.id
            else:
                self.troubles.pop(state.kind, None)
            self._record(event, state.id, data | {"count": changes}, at=at)
        elif not pressed:
            open_case = self.alarms.of(state.id)
            self._record(event, state.id, data | ({"case": open_case.id} if open_case else {}), at=at)
        else:
            id = self._new_id()
            case = self.alarms.press(state.id, state.kind, id, self._chain.seq + 1, changes)
            self._record(
                event,
                state.id,
                data | {"case": case.id, "count": case.count},
                id=id,
                at=at,
                cases={case.id: case.stored(acknowledged=False)},
                then=lambda now_s: self.alarms.recorded(case, now_s),
            )

    def _reset(self, input_id: str, at: Stamp) -> None:
        for case in self.alarms.resettable():
            self._close(case, "reset", "", input_id, at)

    def _scan(self, state: _Input, code: Code) -> None:
        text = clean(code.code)
        data: dict[str, Any] = {"code": text[:CODE_CHARS_MAX], "input": state.id}
        if len(text) > CODE_CHARS_MAX:
            data["cut_chars"] = len(text) - CODE_CHARS_MAX
        self._record(KINDS[state.kind].event, state.id, data, at=self._seen(code.seen_s))

    def _seen(self, seen_s: float) -> Stamp:
        """The moment of a reading, by both clocks."""
        return Stamp(seen_s, self._now.wall_us - round((self._now.mono_s - seen_s) * 1e6), self._now.synced)

    # ---- central

    def _session_up(self, message: SessionUp) -> None:
        if self.uplink.up(message, self._now.mono_s, self._chain.seq):
            link = self._config.links[self.uplink.link.index]
            self._out.append(Say("info", f"link up: {link.host}:{link.port}, MQTT {message.protocol}"))

    def _delivered(self, delivered: Sequence[Range]) -> None:
        if delivered:
            self.alarms.delivered(delivered)
            self._out.append(Write(delivered=tuple(delivered)))

    def _receipt(self, message: Arrived) -> None:
        try:
            receipt = read_receipt(message.payload, message.retained, self._config.central_key)
            if receipt.journal != self._chain.journal:
                return
            delivered = self.uplink.receipt(receipt)
            if isinstance(delivered, str):
                raise RefusedError(delivered)
        except RefusedError as error:
            if self._noise.admit(self._now.mono_s):
                self._out.append(Say("warning", f"receipt refused: {error.reason}"))
            return
        self._delivered(delivered)
        for event in self.uplink.outbox.refused(receipt.refused):
            self._park(event, f"central: {receipt.refused[event.seq]}")

    def _command(self, message: Arrived) -> None:
        wall_s = self._now.wall_us / 1e6
        command = None
        try:
            command = self._commands.read(message.payload, message.retained, wall_s)
            self._do(command)
        except RefusedError as error:
            self._refusal = error.reason
            if self._refusals.admit(self._now.mono_s):
                named = command or error
                self._audit(named.id, named.verb, named.by, "refused", reason=error.reason)
            return
        self._commands.remember(command, wall_s)

    def _audit(
        self, id: str, verb: str, by: str, result: str, seen: Mapping[str, float] | None = None, **more: Any
    ) -> None:
        data = {"command": id, "verb": verb, "by": by, "result": result, **more}
        self._record("audit.command", "box", data, seen=seen or {})

    def _do(self, command: Command) -> None:
        """Does a command, or raises RefusedError before anything of it is done. One step, so one transaction."""
        seen = {command.id: command.expires_s}

        def done(**more: Any) -> None:
            self._audit(command.id, command.verb, command.by, "done", seen, **more)

        if command.verb == "resend":
            try:
                if command.data.get("journal") != self._chain.journal:
                    raise ValueError(f"the journal here is {self._chain.journal}")
                owed = self.uplink.outbox.owe_again(ranges(command.data.get("ranges")))
            except ValueError as error:
                raise RefusedError(str(error)) from None
            self._out.append(Write(owe=tuple(owed)))
            done(ranges=[list(pair) for pair in owed])
        elif command.verb == "test":
            if command.data.get("what") != "loop":
                raise RefusedError("data.what: this version tests `loop`")
            done()
            self._record("status.test", "box", {"test": True, "what": "loop", "command": command.id})
        else:
            case = self.alarms.open.get(str(command.data.get("alarm")))
            if case is None:
                raise RefusedError("no open alarm has this id")
            note = clean(str(command.data.get("note", ""))[:NOTE_CHARS_MAX])
            done(case=case.id)
            if command.verb == "acknowledge":
                self._acknowledge(case, command.by, note)
            else:
                self._close(case, command.by, note, "box", self._now)

    def _acknowledge(self, case: Case, by: str, note: str) -> None:
        self._record(
            "audit.acknowledged",
            case.input,
            {"case": case.id, "by": by, "note": note},
            cases={case.id: case.stored(acknowledged=True)},
            then=lambda _: setattr(case, "acknowledged", True),
        )

    def _close(self, case: Case, by: str, note: str, subject: str, at: Stamp) -> None:
        """The lamp goes on showing it until the end is on the disk; a press from now on opens a new case."""
        del self.alarms.open[case.id]
        self._closing[case.id] = case
        data = {"case": case.id, "by": by, "note": note}
        self._record("audit.closed", subject, data, at=at, cases={case.id: None}, then=lambda _: self._closed(case))
        kind = KINDS[case.kind]
        if kind.latches:
            over = {"transition": "restored", "input": case.input, "case": case.id, "count": case.count, "by": by}
            self._record(kind.event, case.input, over, at=at)

    def _closed(self, case: Case) -> None:
        del self._closing[case.id]

    # ---- troubles

    def _trouble(self, name: str, reason: str, **data: Any) -> None:
        """Raises a trouble, once. name: `link`, `storage`, or `input` and `stuck` with the input's id."""
        if name in self.troubles:
            return
        self.troubles[name] = reason
        kind, _, subject = name.partition(" ")
        self._out.append(Say("warning", f"trouble: {name}: {reason}"))
        data |= {"input": subject} if subject else {}
        self._record(f"trouble.{kind}", subject or kind, {"transition": "raised", "reason": reason, **data})

    def _trouble_over(self, name: str) -> None:
        if self.troubles.pop(name, None) is None:
            return
        kind, _, subject = name.partition(" ")
        self._out.append(Say("info", f"trouble over: {name}"))
        data = {"input": subject} if subject else {}
        self._record(f"trouble.{kind}", subject or kind, {"transition": "restored", **data})

    def _watch_link(self) -> None:
        now_s, link = self._now.mono_s, self.uplink.link
        if link.state == "up":
            self._link_up_s = now_s
        reason = ""
        if now_s >= self._link_up_s + LINK_TROUBLE_S:
            reason = f"no session for {LINK_TROUBLE_S:.0f} s: {link.reason or 'no answer'}"
        elif link.state == "up" and self.uplink.protocol != "5" and self._config.delivery == "puback":
            reason = "`delivery: puback` demands MQTT 5, and this broker has none: nothing counts as delivered"
        elif self.uplink.refusal:
            reason = f"the broker refuses this box's events (reason code 0x{self.uplink.refusal:02x}): check its ACL"
        if reason:
            self._trouble("link", reason)
        elif link.state == "up":
            self._trouble_over("link")

    def _watch_clock(self) -> None:
        """A step of the wall clock is an event, so that central can correct what was recorded before it."""
        offset_s = self._now.wall_us / 1e6 - self._now.mono_s
        step_s = offset_s - self._offset_s
        self._offset_s = offset_s
        if abs(step_s) >= CLOCK_STEP_S:
            self._record("status.clock", "clock", {"step_s": round(step_s, 6)})

    # ---- what shows

    def _after(self) -> None:
        """What follows from every step: messages to send, what cannot be sent, the lamps."""
        self.uplink.pump(self._now.mono_s)
        unfit, self.uplink.outbox.unfit = self.uplink.outbox.unfit, []
        for event in unfit:
            self._park(event, f"{len(event.body)} bytes are too many for this broker")
        self._feedback.update(self._shows(), self._now.mono_s)
        color = self._feedback.lit(self._now.mono_s)
        for output in self._config.outputs:
            if output.role == "feedback":
                self._light(output.id, color is not None and output.color in (None, color))

    def _light(self, output: str, on: bool) -> None:
        if self._lit.get(output, False) != on:
            self._lit[output] = on
            self._out.append(SetOutput(output, on))

    def _shows(self) -> list[Show]:
        shows: list[Show] = []
        if self._volatile or any(name.split()[0] in ("link", "input") for name in self.troubles):
            shows.append("fault")
        for case in [*self.alarms.open.values(), *self._closing.values()]:
            phase = None if case.silent else case.phase(self._now.mono_s)
            if phase is not None and not (self._volatile and phase in ("recorded", "waiting")):
                shows.append(phase)
        return shows

    def _state(self) -> dict[str, Any]:
        """The payload of `{root}/state`, without its session."""
        return {
            "online": True,
            "boot": self._boot,
            "agent": __version__,
            "name": self._config.box.name,
            "journal": self._chain.journal,
            "seq": self.seq,
            "pending": {**self.pending, "media_bytes": 0},
            "inputs": {state.id: {"value": state.value, "quality": state.quality} for state in self._inputs.values()},
            "trouble": sorted(self.troubles),
            "key": b64(self._signer.public),
            "time": rfc3339(self._now.wall_us),
        }

    def status(self) -> dict[str, Any]:
        """What `callbox status` shows: the state, and the link."""
        link = self.uplink.link
        entry = self._config.links[link.index]
        return {
            **self._state(),
            "box": f"{self._config.box.site}/{self._config.box.id}",
            "trouble": self.troubles,
            "cameras": [],
            "open_alarms": sum(not case.silent for case in self.alarms.open.values()),
            "link": {
                "state": link.state,
                "url": entry.url,
                "since_s": round(self._now.mono_s - link.since_s, 1),
                "protocol": self.uplink.protocol if link.state == "up" else "",
                "reason": link.reason,
            },
        }


@dataclass(slots=True)
class _Waiting:
    """Sealed and not yet on the disk, since `since_s`."""

    event: Event
    draft: Draft
    then: Then | None
    since_s: float


class _Input:
    """One input: as in the config, and as it is now."""

    def __init__(self, entry: Input) -> None:
        self.id, self.kind = entry.id, entry.kind
        self.quality = "offline"
        self.contact = Contact(entry.debounce_ms / 1000)
        self.chatter = Chatter()

    @property
    def value(self) -> str:
        return "active" if self.contact.active else "idle"


def _one_transaction(actions: list[Action]) -> list[Action]:
    """What one step decides is written whole or not at all: its writes become one, in the place of the first."""
    writes = [action for action in actions if isinstance(action, Write)]
    if len(writes) < 2:
        return actions
    whole = Write(
        events=tuple(event for write in writes for event in write.events),
        cases={name: body for write in writes for name, body in write.cases.items()},
        delivered=tuple(pair for write in writes for pair in write.delivered),
        owe=tuple(pair for write in writes for pair in write.owe),
        parked={seq: reason for write in writes for seq, reason in write.parked.items()},
        seen={name: after for write in writes for name, after in write.seen.items()},
        settings={name: value for write in writes for name, value in write.settings.items()},
    )
    first = actions.index(writes[0])
    rest = [action for action in actions if not isinstance(action, Write)]
    return [*rest[:first], whole, *rest[first:]]
