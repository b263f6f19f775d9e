"""What central's messages do to the box: receipts strike off what is owed, commands act, refusals are events. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from agent.alarms import Alarms
from agent.commands import (
    NOTE_CHARS_MAX,
    RESEND_RANGES_MAX,
    Command,
    Commands,
    RefusedError,
    clean,
    ranges,
    read_receipt,
)
from agent.inputs import Chatter
from agent.lists import Lists
from agent.lists_mail import ListChanged
from agent.mail import Action, Arrived, Say, Write
from agent.media import Media
from agent.models import CommandData
from agent.outputs import Outputs
from agent.paths import Paths
from agent.ranges import Range
from agent.recorder import Recorder, Then
from agent.supervision import Supervision
from agent.uplink import Uplink
from agent.walktest import WALK_S_MAX, Walktest

if TYPE_CHECKING:
    from agent.config import Config


DOUBTS_AT_ONCE: Final = 10
"""Signatures checked in one step, 2 ms: an alarm may have to wait for them."""
AFTER_S_MAX: Final = 300
"""As `after_s` of a camera in the config."""
LOCAL: Final = "/local"
"""Who asks at the box itself, in place of `/operators/{name}`."""


class Central:
    """Central, as the box hears it."""

    def __init__(
        self,
        config: "Config",
        seen: Mapping[str, float],
        alarms: Alarms,
        walktest: Walktest,
        media: Media,
        lists: Lists,
        paths: Paths,
        uplink: Uplink,
        supervision: Supervision,
        outputs: Outputs,
        recorder: Recorder,
        out: list[Action],
    ) -> None:
        """seen: ids of commands of earlier runs."""
        self._key = config.central_key
        self._commands = Commands(f"{config.box.site}/{config.box.id}", config.operators, seen)
        self._alarms, self._walktest, self._media = alarms, walktest, media
        self._lists, self._paths = lists, paths
        self._uplink, self._supervision, self._outputs = uplink, supervision, outputs
        self._cameras = [camera.id for camera in config.cameras]
        self._recorder, self._out = recorder, out
        self._refusals, self._refusal, self._noise = Chatter(), "", Chatter()

    def delivered(self, stored: Sequence[Range]) -> None:
        """Central has stored these: they are owed no more."""
        if stored:
            self._alarms.delivered(stored)
            self._supervision.delivered(stored)
            self._paths.delivered(stored)
            self._out.append(Write(delivered=tuple(stored)))

    def receipt(self, message: Arrived) -> None:
        """A receipt; one that cannot be right is logged and changes nothing."""
        try:
            receipt = read_receipt(message.payload, message.retained, self._key)
            if receipt.journal != self._recorder.journal:
                return
            if wrong := self._media.uploads.wrong(receipt.media):  # before anything of it counts
                raise RefusedError(wrong)
            stored = self._uplink.receipt(receipt, self._recorder.now.mono_s)
            if isinstance(stored, str):
                raise RefusedError(stored)
            self._media.uploads.receipt(receipt.media, self._recorder.now.mono_s)
        except RefusedError as error:
            if self._noise.admit(self._recorder.now.mono_s):
                self._out.append(Say("warning", f"receipt refused: {error.reason}"))
            return
        self._media.uploads.puts.named(receipt.put, receipt.put_refused)
        self.delivered(stored)
        if not receipt.refused:
            return
        for event in self._uplink.outbox.refused(receipt.refused):
            self._recorder.park(event, f"central: {receipt.refused[event.seq]}")

    def park_unsent(self) -> None:
        """What this broker cannot carry, and what is not this box's any more; some of it in each step."""
        outbox = self._uplink.outbox
        unfit, outbox.unfit = outbox.unfit, []
        for event in unfit:
            self._recorder.park(event, f"{len(event.body)} bytes are too many for this broker")
        looked_at, outbox.doubtful[:] = outbox.doubtful[:DOUBTS_AT_ONCE], outbox.doubtful[DOUBTS_AT_ONCE:]
        for event in looked_at:
            if not self._recorder.vouches_for(event):
                outbox.drop([(event.seq, event.seq)])
                self._recorder.park(event, "its bytes were changed on the disk: the signature is not right any more")

    def command(self, message: Arrived) -> None:
        """A command; done or refused, it leaves one event. A flood of refused ones is merged like chatter."""
        command = None
        try:
            command = self._commands.read(message.payload, message.retained, self._recorder.now.wall_us / 1e6)
            self._do(command)
        except RefusedError as error:
            self._refused(command or error, error.reason)

    def _refused(self, of: Command | RefusedError, reason: str) -> None:
        seen = {of.id: of.expires_s} if isinstance(of, Command) else {}
        refused: CommandData = {"result": "refused", "reason": reason}
        self._refuse({**refused, "command": of.id, "verb": of.verb, "by": of.by}, seen)

    def resend(self, request: Mapping[str, Any], answer: Callable[[CommandData], None]) -> None:
        """Somebody at the box itself asks for events again: as the command, and unsigned.

        answer: hears what became of it; that it is done, when that is on the disk.
        """
        by: CommandData = {"result": "done", "verb": "resend", "by": LOCAL}
        try:
            done: CommandData = {**by, "ranges": self._owe(request)}
        except RefusedError as error:
            refused: CommandData = {**by, "result": "refused", "reason": error.reason}
            self._refuse(refused, {})
            answer(refused)
            return
        self._recorder.record("audit.command", "box", done, then=lambda _: answer(done))

    def _refuse(self, data: CommandData, seen: Mapping[str, float]) -> None:
        """The event of a refusal; a flood of them is merged like chatter."""
        self._refusal = data["reason"]
        if self._refusals.admit(self._recorder.now.mono_s):
            self._out.append(Say("warning", f"command refused: {self._refusal}"))
            self._recorder.record("audit.command", "box", data, seen=seen)

    def tick(self, now_s: float) -> None:
        """The sum of refusals, when one is due; noise of receipts has no sum, its first lines are in the log."""
        self._noise.sum(now_s)
        if refused := self._refusals.sum(now_s):
            data: CommandData = {"result": "refused", "reason": self._refusal, "count": refused, "merged": True}
            self._recorder.record("audit.command", "box", data)

    def due_s(self) -> float | None:
        return self._refusals.due_s()

    def _owe(self, asked: Mapping[str, Any]) -> list[list[int]]:
        """Events of `asked` are owed again, as far as they are recorded: these ranges. Raises RefusedError."""
        try:
            if asked.get("journal") != self._recorder.journal:
                raise ValueError(f"the journal here is {self._recorder.journal}")
            owed = self._uplink.outbox.recorded_of(ranges(asked.get("ranges"), RESEND_RANGES_MAX))
        except (ValueError, RecursionError) as error:
            raise RefusedError(str(error)) from None
        self._out.append(Write(owe=tuple(owed)))
        return [list(pair) for pair in owed]

    def _do(self, command: Command) -> None:
        """Does a command, or raises RefusedError before anything of it is done. One step, so one transaction."""

        id = self._recorder.new_id()

        def done(data: CommandData, then: Then | None = None) -> None:
            data["command"], data["verb"], data["by"] = command.id, command.verb, command.by
            self._recorder.record("audit.command", "box", data, id=id, then=then, seen={command.id: command.expires_s})

        if command.verb == "resend":
            done({"result": "done", "ranges": self._owe(command.data)})
        elif command.verb == "test":
            what, for_s = command.data.get("what"), command.data.get("for_s", WALK_S_MAX)
            if what == "loop":
                done({"result": "done"})
                self._recorder.record("status.test", "box", {"test": True, "what": "loop", "command": command.id})
            elif what != "walk":
                raise RefusedError("data.what: this version tests `loop` and `walk`")
            elif isinstance(for_s, bool) or not isinstance(for_s, int | float) or not 0 <= for_s <= WALK_S_MAX:
                raise RefusedError(f"data.for_s: seconds, 1 to {WALK_S_MAX}; less than 1 ends it")
            else:
                done({"result": "done"})
                if for_s < 1:
                    self._walktest.end(command.by)
                else:
                    self._walktest.begin(command.by, for_s)
        elif command.verb == "list":

            def changed(message: ListChanged) -> None:
                if message.reason:
                    self._refused(command, message.reason)
                else:
                    done({"result": "done", "list": str(command.data["name"]), "codes": message.codes})

            self._lists.change(command.data, changed)
        elif command.verb == "capture":
            camera, after_s = str(command.data.get("camera")), command.data.get("after_s", 0)
            if camera not in self._cameras:
                raise RefusedError(f"data.camera: this box has {', '.join(self._cameras) or 'none'}")
            if isinstance(after_s, bool) or not isinstance(after_s, int | float) or not 0 <= after_s <= AFTER_S_MAX:
                raise RefusedError(f"data.after_s: seconds, 0 to {AFTER_S_MAX}")
            done({"result": "done", "case": id})
            self._media.evidence.caused(id, "audit", [camera], self._recorder.now, after_s=after_s)
        elif command.verb == "output":
            wish = self._outputs.wish(command.data)
            told: CommandData = {"result": "done", "output": wish.output, "state": wish.state, "for_s": wish.for_s}
            done(told, lambda now_s: self._outputs.hold(wish, now_s))
        else:
            case = self._alarms.open.get(str(command.data.get("alarm")))
            if case is None:
                raise RefusedError("no open alarm has this id")
            note = clean(str(command.data.get("note", ""))[:NOTE_CHARS_MAX])
            done({"result": "done", "case": case.id})
            if command.verb == "acknowledge":
                self._alarms.acknowledge(case, command.by, note)
            else:
                self._alarms.close(case, command.by, note, self._recorder.now)
