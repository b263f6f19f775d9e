"""The one thread that decides: takes messages in order, asks the box, and hands its actions to the doors."""

import gc
import logging
import random
import signal
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from agent import notify, threads
from agent.box import Box
from agent.clock import Clock
from agent.events import Event, Stamp
from agent.eyes import EyeAction, Eyes
from agent.identity import Signer
from agent.journal import Journal, Opened
from agent.list_store import ListStore
from agent.lists_mail import ListAction
from agent.mail import (
    Acked,
    Action,
    Arrived,
    Connect,
    Drop,
    Exit,
    Fetch,
    FollowClock,
    Message,
    NewJournal,
    PowerOff,
    Probe,
    Publish,
    Say,
    SessionDown,
    SetOutput,
    Survey,
    Write,
)
from agent.mailbox import Mailbox
from agent.media_mail import CameraSaid, CodesRead, FetchFiles, Filed, SurveyFiles
from agent.models import FINAL, LastEnd
from agent.path_mail import FindDue, Offer
from agent.path_threads import PathThreads
from agent.reserve import Reserve
from agent.salvage import salvage
from agent.sessions import Sessions
from agent.status import Answer, StatusServer
from agent.storage import Found, await_disk
from agent.threads import SIGNALS
from agent.wires import make_wires
from agent.writer import Writer
from drivers.contract import Fix, Paper, Reading

if TYPE_CHECKING:
    from agent.config import Config

log = logging.getLogger("callbox")

Reopen = Callable[[], tuple[Found, Signer]]

UNRECORDED_MAX: Final = 500
"""Events on their way to the disk at once; with more, readings wait in the mailbox and then in the drivers."""
FROM_OUTSIDE: Final = (Arrived, Filed, CameraSaid, CodesRead, Paper, Fix)
"""Central's words, those of camera processes, papers and places: a fault in what is made of one costs it, and no alarm.
"""
GOODBYE_S: Final = 2.0
ARM_S: Final = 3.0
"""How long a start waits for a wire that neither opens nor fails."""


class Loop:
    """The running daemon."""

    def __init__(self, config: "Config", found: Found, signer: Signer, boot: str, clock: Clock, reopen: Reopen) -> None:
        """reopen: has the journal on the disk again, or raises sqlite3.Error, OSError, BoxError."""
        self._config, self._clock, self._reopen, self._found = config, clock, reopen, found
        self._mailbox = Mailbox()
        journal = found.journal
        self._opened = journal.opened()
        self._reserve = Reserve(config.state_dir, config.retention.reserve_mb * 1_000_000)
        self._worker = Writer(journal, self._mailbox.answer, None if self._opened.volatile else self._reserve)
        self._key = signer.public
        self._back: deque[tuple[Found, Signer, Opened]] = deque()
        self._salvaged: deque[list[Event]] = deque()
        self._box = Box(config, self._opened, signer, boot, clock.now(), random.Random())
        self._sessions = Sessions(config, self._mailbox)
        self._exit = ""
        self._power_off = False
        self._eyes = Eyes(config, self._mailbox.answer)
        self._lists = ListStore(config, self._mailbox.answer)
        self._wires = make_wires(config, self._mailbox.put)
        self._outputs = {
            output.id: wire for output in config.outputs for wire in self._wires if wire.name == output.driver
        }
        self._paths = PathThreads(config, self._mailbox.answer, self._opened.settings)
        self._status: StatusServer | None = None
        self._watchdog = notify.Watchdog(notify.watchdog_interval_s())
        self._signals: deque[int] = deque()
        self._armed = False
        self._due_s: float | None = None
        """When the box wants its next tick; None: ask it."""

    def run(self, *, config_hash: str, reloadable: Callable[[], bool]) -> int:
        """Runs until SIGTERM, SIGINT, or a SIGHUP to which `reloadable` says yes; returns which.

        SIGHUP also when the box itself has found that a new process is wanted.
        """
        for number in SIGNALS:
            signal.signal(number, self._on_signal)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        for wire in self._wires:
            wire.start()
        settings = self._opened.settings
        self._box.start(
            self._clock.now(),
            last_end=settings.get("last_end", "first"),
            new_journal=self._found.reason,
            config_hash=config_hash,
            config_changed=settings.get("config") not in (None, config_hash),
        )
        self._execute()
        self._open_status()
        if self._opened.volatile:
            self._await_disk(lambda: True)
        self._salvage(self._found)
        armed_by_s = time.monotonic() + ARM_S
        self._sessions.begin()
        told: int | None = None
        while not (self._exit or self._power_off) and (told is None or (told == signal.SIGHUP and not reloadable())):
            self._step()
            if not self._armed and (all(wire.spoke.is_set() for wire in self._wires) or time.monotonic() > armed_by_s):
                self._arm()
            self._sessions.open_wanted(armed=self._armed)
            told = self._signals.popleft() if self._signals else None
        if self._exit:
            log.error("%s: the box starts itself anew", self._exit)
            told = signal.SIGHUP
        elif self._power_off:
            told = signal.SIGTERM
        usual: LastEnd = "reload" if told == signal.SIGHUP else "clean"
        self._stop("stalled" if self._exit else "battery" if self._power_off else usual)
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        return next((late for late in self._signals if late != signal.SIGHUP), told or signal.SIGHUP)

    def _open_status(self) -> None:
        """A socket in the state directory as it is now: another disk has none of ours."""
        if self._status is not None:
            self._status.close()
        try:
            self._status = StatusServer(self._config.state_dir, self._mailbox.wake)
        except OSError as error:
            self._status = None
            log.warning(
                "no status socket in %s: %s; `callbox status` will say that nothing runs", self._config.state_dir, error
            )

    def _on_signal(self, number: int, _frame: object) -> None:
        self._signals.append(number)
        self._mailbox.wake()

    def _arm(self) -> None:
        self._armed = True
        notify.ready(f"armed: {len(self._config.inputs)} inputs")
        log.info("armed: %d inputs, journal %s at %d", len(self._config.inputs), self._worker.name, self._box.seq)
        self._sessions.open_wanted(armed=True)
        self._eyes.begin(None if self._opened.volatile else self._worker.journal.file_names)
        self._paths.start()
        gc.freeze()  # what a start has built stays: the collector, which stops all for 30 ms to look at it, need not

    # ---- a step

    def _step(self) -> None:
        behind = self._box.unrecorded >= UNRECORDED_MAX
        due_s = self._due_s = self._box.due_s() if self._due_s is None else self._due_s
        codes = not self._box.alarm_under_way
        messages = self._mailbox.take(due_s - time.monotonic(), readings=not behind, codes=codes)
        now = self._clock.now()
        if self._back:  # before anything is decided: it would be numbered for the journal that is left
            self._disk_is_back(*self._back.popleft())
        for message in messages:
            self._handle(message, now)
            if not isinstance(message, Acked):  # which makes nothing due any sooner
                self._due_s = None
        if self._salvaged:
            self._box.salvaged(self._salvaged.popleft(), now)
        if not messages or now.mono_s >= due_s:
            self._box.tick(now)
            self._due_s = None
        self._execute()
        if (status := self._status) is not None:  # it may be made anew beside us
            status.serve(self._answer)
        self._feed_watchdog(now.mono_s)

    def _handle(self, message: Message | Reading, now: Stamp) -> None:
        try:
            self._box.handle(self._sessions.named(message) if isinstance(message, Acked) else message, now)
            if isinstance(message, SessionDown):
                self._sessions.ended(message.session)
        except Exception:
            if not isinstance(message, FROM_OUTSIDE):
                raise
            log.exception("what %s brought was not understood, and is left out", type(message).__name__)

    def _execute(self) -> None:
        again = self._do_all(self._box.decided())
        while self._do_all(self._box.drain()) or again:
            again = False
        self._sessions.flush()

    def _do_all(self, actions: list[Action]) -> bool:
        """Whether more follows from it."""
        for action in actions:
            self._do(action)
        return any(isinstance(action, NewJournal) for action in actions)

    def _do(self, action: Action) -> None:
        if isinstance(action, EyeAction):
            self._eyes.do(action)
            return
        if isinstance(action, ListAction):
            self._lists.ask(action)
            return
        match action:
            case Publish() | Drop() | Probe():
                self._sessions.do(action)
            case Connect():
                self._sessions.do(action)
                self._sessions.open_wanted(armed=self._armed)
            case Write() | Fetch() | Survey() | FetchFiles() | SurveyFiles() | FindDue():
                self._worker.ask(action)
            case Offer():
                self._paths.offer(action)
            case SetOutput(output, on):
                self._outputs[output].set(output, on)
            case Exit(reason):
                self._exit = reason
            case PowerOff():
                self._power_off = True
            case FollowClock():
                self._clock.followed = action
            case NewJournal(reason):
                failed, journal = self._worker, Journal(None)
                failed.close(0.0)  # it ends when its disk lets it: a slow one has not failed by itself
                self._worker = Writer(journal, self._mailbox.answer)
                self._box.new_journal(journal.opened(), reason, self._clock.now())
                self._await_disk(lambda: failed.ended)
            case Say(level, text):
                log.log(logging.getLevelNamesMapping()[level.upper()], "%s", text)

    # ---- a disk that failed

    def _await_disk(self, left: Callable[[], bool]) -> None:
        def reopen() -> tuple[Found, Signer, Opened]:
            """All that reads the disk is done here, beside the loop: it may fail again, or take its time."""
            found, signer = self._reopen()
            opened = found.journal.opened()
            self._open_status()
            return found, signer, opened

        def back(again: tuple[Found, Signer, Opened]) -> None:
            self._back.append(again)
            self._mailbox.wake()

        await_disk(reopen, left, back)

    def _disk_is_back(self, found: Found, signer: Signer, opened: Opened) -> None:
        """All that the journal in memory has goes to the one on the disk."""
        self._worker.close(GOODBYE_S, keep=True)
        memory = self._worker.journal
        self._worker = Writer(found.journal, self._mailbox.answer, self._reserve)
        events, self._key = memory.everything(), signer.public
        self._box.disk_is_back(opened, found.reason, signer, memory.opened(), events, self._clock.now())
        memory.close()
        if found.reason:
            self._eyes.order(found.journal.file_names)
        log.info("the disk is back: journal %s", self._worker.name)
        self._salvage(found)

    def _salvage(self, found: Found) -> None:
        """Reads, in a thread of its own, what was owed by a journal that was moved aside."""
        if (aside := found.aside) is None:
            return

        def read() -> None:
            self._salvaged.append(salvage(aside, self._key))
            self._mailbox.wake()

        threads.start(read, "salvage")

    def _answer(self, request: dict[str, Any], answer: Answer) -> None:
        """What somebody asks at the box itself."""
        match request:
            case {"ask": "status"}:
                answer(self._status_now())
            case {"ask": "resend"}:
                self._box.resend(request, answer, self._clock.now())
                self._execute()
            case {"ask": "preview", "camera": str(camera)}:
                self._eyes.cameras.preview(camera, answer)
            case _:
                answer({"error": "unknown request; it knows `status`, `resend` and `preview`"})

    def _status_now(self) -> dict[str, Any]:
        noise = {wire.name: wire.driver.noise for wire in self._wires} | self._paths.noise()
        return {
            **self._box.status(),
            "armed": self._armed,
            "cameras": self._eyes.cameras.status(),
            "noise": noise,
            "dropped_messages": self._mailbox.dropped,
        }

    # ---- self-care

    def _progress(self) -> dict[str, float]:
        workers = {f"wire {wire.name}": wire.progress_s for wire in self._wires}
        workers["journal"] = self._worker.progress_s
        return workers | self._sessions.progress() | self._eyes.cameras.progress() | self._paths.progress()

    def _feed_watchdog(self, now_s: float) -> None:
        if self._watchdog.due(now_s):
            if stalled := notify.stalled(self._progress(), now_s):
                log.error("no progress of %s: systemd is not fed and will restart the box", ", ".join(stalled))
            else:
                self._watchdog.feed(now_s)

    def _stop(self, end: LastEnd) -> None:
        """Leaves everything on the disk and, when it is the end, tells central; in bounded time."""
        if end in FINAL:
            notify.stopping()
        else:
            notify.reloading()
        self._box.quiet(self._clock.now())
        self._execute()
        for wire in self._wires:
            wire.stop()
        for wire in self._wires:
            wire.join(GOODBYE_S)
        self._paths.stop(GOODBYE_S)
        self._mailbox.wake()
        self._step()  # what they have delivered to the last is not sent again
        while self._mailbox.readings:  # pressed before the end is recorded before the end
            self._step()
        self._box.stop(self._clock.now(), end)
        self._execute()
        until_s = time.monotonic() + GOODBYE_S
        while (self._box.unrecorded or self._box.in_flight) and time.monotonic() < until_s:
            self._step()
        if end in FINAL and (goodbye := self._box.say_goodbye(self._clock.now())) is not None:
            self._execute()
            self._await_ack(goodbye, until_s)
        self._sessions.close(GOODBYE_S)
        self._eyes.stop(GOODBYE_S)
        self._lists.close(GOODBYE_S)
        if not self._worker.close(GOODBYE_S):
            log.error("the disk did not take the last events in time")
        if self._status is not None:
            self._status.close()
        if end == "battery" and (told := notify.ask_poweroff()):
            log.warning("%s", told)
        log.info("stopped")

    def _await_ack(self, token: int, until_s: float) -> None:
        while (left_s := until_s - time.monotonic()) > 0:
            for message in self._mailbox.take(left_s, readings=False):
                if isinstance(message, SessionDown) or (
                    isinstance(message, Acked) and self._sessions.named(message).token == token
                ):
                    return
