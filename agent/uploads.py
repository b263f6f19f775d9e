"""Files of evidence on their way to central: which one next, which piece of it, over a session of its own. Pure.

    owed -> a piece is read -> published -> PUBACK frees its place -> receipt: central has so many bytes -> delivered

A file to which central has given an address goes by HTTPS PUT instead (agent/puts.py), and nothing else meanwhile.

Nothing of it holds up an event: the session is a second one, no new piece goes while an alarm is owed, pieces are
small, and two are in flight at the most. What central has it says itself, after each reconnect before anything is
sent, so that nothing goes twice but what was in flight.
"""

import random
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final, Literal

from agent.load import Flight, Load
from agent.mail import Acked, Action, Connect, Drop, Publish, Say, SessionUp, Write
from agent.media_mail import FetchedFiles, FetchFiles, OwedFile, PieceRead, PutDone, ReadPiece
from agent.puts import Puts

FILES_MAX: Final = 50
"""Owed files in memory; further ones wait in the journal."""
PIECE_BYTES: Final = 4_096
"""At first, and on the slowest line that is promised (8 KB/s): half a second."""
PIECE_BYTES_MAX: Final = 32_768
FLIGHT_MAX: Final = 2
"""Pieces without a PUBACK; one on a line so slow that they do not grow: an alarm has to wait for what is in flight."""
UNSTORED_MAX: Final = 8
"""Pieces' worth of bytes that central has not said that it has: a kill of the box sends no more than these again."""
QUICK_S, SLOW_S = 0.25, 1.0
"""A whole piece acknowledged sooner makes the next one larger, one later smaller. The rest of a file, which is less, is
soon there on any line."""
ACK_TIMEOUT_S: Final = 30.0
DONE_MAX: Final = 200
"""Names of files that were delivered, remembered: an answer of the journal's may have been read before it was told."""
FIRST_WORD_S: Final = 5.0
"""So long a new session waits for central to say what it has."""
IDLE_S: Final = 10.0
"""With nothing to send for so long the session ends."""
RETRY_S, RETRY_S_MAX = 1.0, 60.0
ROUNDS_MAX: Final = 3
"""Times that a file is sent whole and central says that it is not what its name says."""
MARK_S: Final = 10.0
"""How often the journal is told how far a file has come; that it is delivered it is told at once."""
NO_WORD, REFUSED = 0x10, 0x80
"""MQTT 5 reason codes: nobody is subscribed; refusals from here on."""
TOPIC_BYTES: Final = 256


class Uploads:
    """Called by `agent/media.py` with whatever comes, and then `pump`."""

    def __init__(
        self,
        media_bytes: int,
        media_kbps: int | None,
        rng: random.Random,
        out: list[Action],
        *,
        puback_delivers: bool,
        put: Sequence[str] = (),
    ) -> None:
        """media_bytes: owed by the journal. put: how addresses for PUT may begin."""
        self.owed_bytes = media_bytes
        """That central has not, as far as the journal knows: so with each of its answers."""
        self._rate = None if media_kbps is None else media_kbps * 125.0
        self._rng, self._out, self._puback_delivers = rng, out, puback_delivers
        self.puts = Puts(put, rng, out)
        self._done: deque[str] = deque(maxlen=DONE_MAX)
        self._loads: dict[str, Load] = {}
        self._more, self._asked = media_bytes > 0, False
        self.session = ""
        self._state: Literal["down", "connecting", "up"] = "down"
        self._link, self._trusted = 0, False
        self._retry_s = self._idle_s = self._heard_by_s = 0.0
        self._failures = 0
        self._heard = False
        self._alarm_owed = False
        self._token = 0
        self._flight: dict[int, Flight] = {}
        self._reading: tuple[str, int] | None = None
        self._piece_bytes = PIECE_BYTES
        self._bytes_max = PIECE_BYTES_MAX
        self._flight_max = FLIGHT_MAX
        self._paid_s = 0.0
        self.parked: list[tuple[OwedFile, str]] = []
        """Files that are owed no more because nobody can take them; to be told by who reads it."""

    # ---- from the box

    def owed(self, files: Sequence[OwedFile]) -> None:
        """New files, on the disk with their event."""
        for file in files:
            self._loads.setdefault(file.sha256, Load(file, file.stored, file.stored, marked=file.stored))
        self._trim()

    def fetched(self, message: FetchedFiles) -> None:
        """The journal's answer."""
        self._asked, self._more = False, message.more
        for file in message.files:
            if file.sha256 not in self._done:
                load = Load(file, file.stored, file.stored, marked=file.stored)
                self._loads.setdefault(file.sha256, load)
        self._trim()

    def _trim(self) -> None:
        """Keeps the first ones; what is under way stays. None goes that the journal's next answer may leave out."""
        if self._asked or len(self._loads) <= FILES_MAX:
            return
        order = sorted(self._loads.values(), key=lambda load: load.order)
        dropped = [
            load for load in order[FILES_MAX:] if load.sent == load.stored and load.file.sha256 != self.puts.running
        ]
        for load in dropped:
            self._mark(load, load.progress_s)
            del self._loads[load.file.sha256]
        self._more |= bool(dropped)

    def forget(self, files: Iterable[OwedFile]) -> None:
        """These go from the disk."""
        for file in files:
            self._loads.pop(file.sha256, None)
            self._done.append(file.sha256)

    def reload(self, media_bytes: int) -> None:
        """The journal is another one, or owes again what it had struck off."""
        self.owed_bytes, self._more, self._asked = media_bytes, True, False
        self._loads.clear()
        self._done.clear()

    @property
    def bytes(self) -> int:
        """That central has not."""
        return self.owed_bytes - sum(load.stored - load.marked for load in self._loads.values())

    @property
    def known(self) -> tuple[OwedFile, ...]:
        """Files in memory, as far as they have come."""
        return tuple(replace(load.file, stored=load.stored) for load in self._loads.values())

    # ---- the session

    def up(self, message: SessionUp, now_s: float) -> None:
        """The session stands."""
        self._state, self._idle_s = "up", now_s + IDLE_S
        self._trusted = message.protocol == "5"
        self._bytes_max = min(
            PIECE_BYTES_MAX, max(1, (message.packet_bytes_max or PIECE_BYTES_MAX + TOPIC_BYTES) - TOPIC_BYTES)
        )
        self._piece_bytes = min(PIECE_BYTES, self._bytes_max)
        self._flight_max = min(FLIGHT_MAX, message.receive_max or FLIGHT_MAX)
        self._heard, self._heard_by_s = False, now_s + FIRST_WORD_S

    def down(self, now_s: float) -> None:
        """It ended, or never stood. The pauses grow until a piece is taken: one that kicks at each costs a dial."""
        self._forget_session()
        self._failures = min(self._failures + 1, 16)
        self._retry_s = now_s + self._rng.uniform(0, min(RETRY_S * 2**self._failures, RETRY_S_MAX))

    def end(self) -> None:
        """The box's own session has ended, and so does this one."""
        if self.session:
            self._out.append(Drop(self.session))
        self._forget_session()

    def _forget_session(self) -> None:
        self.session, self._state = "", "down"
        self._flight.clear()
        for load in self._loads.values():
            load.sent = load.stored

    def acked(self, message: Acked, now_s: float) -> None:
        """A PUBACK: a place is free, and how long it took says how large the next piece is."""
        flight = self._flight.pop(message.token, None)
        if flight is None:
            return
        took_s, load = now_s - flight.since_s, self._loads.get(flight.sha256)
        if message.code >= REFUSED:
            self._piece_bytes = min(PIECE_BYTES, self._bytes_max)
            if load is not None:
                load.again(now_s)
            return
        self._failures = 0
        delivers = self._puback_delivers and self._trusted and message.code != NO_WORD
        # Where one before it was refused, this one is behind a gap.
        if delivers and load is not None and flight.start <= load.stored < flight.end:
            self._stored(load, flight.end, now_s)
        if took_s <= QUICK_S and flight.end - flight.start >= self._piece_bytes:
            self._piece_bytes = min(2 * self._piece_bytes, self._bytes_max)
        elif took_s >= SLOW_S:
            self._piece_bytes = max(self._piece_bytes // 2, min(PIECE_BYTES, self._bytes_max))

    # ---- central's word

    def wrong(self, media: Mapping[str, int]) -> str:
        """Why central's word cannot be right, "" when it can."""
        for name, size in media.items():
            if (load := self._loads.get(name)) is not None and size > load.file.bytes:
                return f"media: {size} bytes of {name[:16]}, which has {load.file.bytes}"
        return ""

    def receipt(self, media: Mapping[str, int], now_s: float) -> None:
        """What central has of each file. What is not known here is skipped."""
        self._heard = True
        flying = {flight.sha256 for flight in self._flight.values()}
        for name, size in media.items():
            if (load := self._loads.get(name)) is None:
                continue
            if size > load.stored:
                self._stored(load, size, now_s)
            elif size < load.stored or (size == 0 and load.sent == load.file.bytes and name not in flying):
                self._lost(load, size, now_s)

    def _stored(self, load: Load, size: int, now_s: float) -> None:
        load.stored, load.sent = size, max(load.sent, size)
        load.progress_s, load.resends = now_s, 0
        if size == load.file.bytes:
            self._out.append(Write(stored={load.file.sha256: size}))
            self._done.append(load.file.sha256)
            del self._loads[load.file.sha256]
        elif now_s >= load.marked_s + MARK_S:
            self._mark(load, now_s)

    def _mark(self, load: Load, now_s: float) -> None:
        if load.marked != load.stored:
            load.marked, load.marked_s = load.stored, now_s
            self._out.append(Write(stored={load.file.sha256: load.stored}))

    def _lost(self, load: Load, size: int, now_s: float) -> None:
        """Central has less than it said: its disk failed, or all of it was there and the hash was wrong."""
        wrong = size == 0 and load.sent == load.file.bytes
        load.rounds += wrong and not load.by_put  # what goes by PUT is hashed as it goes: the store did it
        load.stored = load.sent = size
        load.progress_s = now_s
        if wrong:  # or the broker still has it: after a pause it knows
            load.again(now_s)
        if load.rounds >= ROUNDS_MAX:
            self._park(load, f"central says {ROUNDS_MAX} times that its bytes are not what its name says")

    def _park(self, load: Load, reason: str) -> None:
        self.parked.append((load.file, reason))
        self._done.append(load.file.sha256)
        del self._loads[load.file.sha256]

    # ---- from the spool

    def read(self, message: PieceRead, now_s: float) -> None:
        """A piece, to be sent at once; or why there is none."""
        self._reading = None
        load = self._loads.get(message.sha256)
        if load is None:
            return
        if message.reason:
            if message.gone:
                self._park(load, message.reason)
            else:
                load.again(now_s)
                self._out.append(Say("error", f"evidence {message.sha256[:16]}: {message.reason}"))
            return
        if self._state != "up" or message.offset != load.sent or self._held(now_s):
            return  # what has changed meanwhile comes first
        self._token += 1
        load.sent, load.progress_s = message.offset + len(message.data), now_s
        self._flight[self._token] = Flight(message.sha256, message.offset, load.sent, now_s)
        self._paid_s = max(self._paid_s, now_s) + (len(message.data) / self._rate if self._rate else 0.0)
        topic = f"media/{message.sha256}/{message.offset}"
        self._out.append(Publish(self.session, self._token, topic, message.data))

    # ---- from the PUT

    def put(self, message: PutDone, now_s: float) -> None:
        """A PUT has ended. Delivered is its file when central says so."""
        load = self._loads.get(message.sha256)
        self.puts.ended(message, load, now_s)
        if load is None:
            return
        if message.gone:
            self._park(load, message.reason)
        elif not message.reason:
            load.sent, load.by_put, load.progress_s = load.file.bytes, True, now_s

    def _overtaken(self, now_s: float) -> bool:
        """Something that comes before the file on its way by PUT can go in pieces."""
        running = self._loads.get(self.puts.running)
        if running is None or self._state != "up":
            return False
        loads = (load for load in self._loads.values() if load.order < running.order)
        return any(load.sent < load.file.bytes and now_s >= load.held_until_s for load in loads)

    # ---- what to do now

    def pump(
        self, now_s: float, *, link: int | None, protocol: Literal["5", "3.1.1"], alarm_owed: bool, events: bool
    ) -> None:
        """Opens the session, asks for a piece, notices what got stuck.

        link: of the box's own session; None: none. events: some are on their way over it.
        """
        self._alarm_owed = alarm_owed
        self.puts.hold(alarm_owed or self._overtaken(now_s))
        if link is None or (self.session and link != self._link):
            if self.session:
                self.end()
            return
        if self._more and not self._asked and len(self._loads) < FILES_MAX // 2:
            self._asked = True
            self._out.append(FetchFiles(FILES_MAX))
        if self._state == "down":
            if self._loads and now_s >= self._retry_s:
                self.session = f"{self._rng.getrandbits(32):08x}-media"
                self._state, self._link = "connecting", link
                self._out.append(Connect(self.session, link, protocol, media=True))
            return
        if self._state != "up":
            return
        if self._loads:
            self._idle_s = now_s + IDLE_S
        elif now_s >= self._idle_s:
            self.end()
            return
        if any(now_s >= flight.since_s + ACK_TIMEOUT_S for flight in self._flight.values()):
            self.end()
            self._retry_s = now_s + RETRY_S
            return
        for late in self._loads.values():
            if late.sent > late.stored and now_s >= late.progress_s + late.timeout_s:
                late.again(now_s)
        slow = (
            self._piece_bytes <= PIECE_BYTES
        )  # there a piece and what the events' window holds are half a second each
        flight_max = 1 if slow else self._flight_max
        if slow and events:
            return
        if self._held(now_s) or self._reading or len(self._flight) >= flight_max or now_s < self._paid_s:
            return
        if self.puts.running and not self.puts.held:
            return
        if (load := self._next(now_s)) is None:
            return
        if self.puts.takes(load) and not self.puts.running:
            self.puts.begin(load)
        else:
            self.puts.in_pieces(load)
            load.by_put = False
            self._reading = load.file.sha256, load.sent
            size = self._size(load)
            self._out.append(ReadPiece(load.file.sha256, load.sent, size, check=load.rounds > 0 and load.sent == 0))

    def _held(self, now_s: float) -> bool:
        """An alarm goes first, and central's first word of a session."""
        return self._alarm_owed or (not self._heard and now_s < self._heard_by_s)

    def _next(self, now_s: float) -> Load | None:
        """The first in order that has something to send, if as much as may be is not on its way already."""
        waiting = (x for x in self._loads.values() if x.sent < x.file.bytes and now_s >= x.held_until_s)
        waiting = (x for x in waiting if self.puts.ready(x, now_s))
        first = min(waiting, key=lambda load: load.order, default=None)
        unstored = sum(load.sent - load.stored for load in self._loads.values() if not load.by_put)
        if first is None or unstored + self._size(first) > UNSTORED_MAX * self._piece_bytes:
            return None
        return first

    def _size(self, load: Load) -> int:
        """Bytes of its next piece."""
        return min(self._piece_bytes, load.file.bytes - load.sent)

    def due_s(self, now_s: float) -> float | None:
        """When `pump` has something to do that nothing else brings."""
        if self._state == "down":  # a moment that is past waits for the box's own session
            return self._retry_s if self._loads and self._retry_s > now_s else None
        dues = [flight.since_s + ACK_TIMEOUT_S for flight in self._flight.values()]
        dues += [load.progress_s + load.timeout_s for load in self._loads.values() if load.sent > load.stored]
        dues += [load.held_until_s for load in self._loads.values()]
        dues += [self._paid_s, self._heard_by_s, self._idle_s]
        return min((due for due in dues if due > now_s), default=None)
