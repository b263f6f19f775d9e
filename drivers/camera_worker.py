"""The process of one camera: `python -m drivers.camera_worker`. Its words are in docs/evidence.md.

    thread "camera": opens the source, reads, opens it again -----\
    thread "words":  lines of stdin; its end ends the process -----> inbox -> main: decides (drivers/camera_state.py),
    thread "look":   one at a time, a picture in a child process -/              writes files, says how it goes
    thread "read":   the same, for those whom somebody asked for -/

Main alone decides, writes and speaks, so a beat says that all of it moves. What is read waits in the inbox: while
nothing is wanted of it until the next beat, for a thread that is woken for each picture costs more than the picture
does; and while the disk is slow at most INBOX_PACKETS, each stamped when it was read.
"""

import json
import os
import random
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from drivers import avi, mpegts
from drivers.camera_look import Look, look
from drivers.camera_preview import preview
from drivers.camera_read import read
from drivers.camera_reads import BUSY, Asked, Reads
from drivers.camera_state import CameraState
from drivers.packet_ring import Clip
from drivers.packets import CameraError, CameraQuality, Packet, Source, Stream
from drivers.vault import VaultError, read_recipients, store

if TYPE_CHECKING:
    from drivers.masked_source import Polygon

BEAT_S: Final = 1.0
SPARE_S: Final = 2.0
"""Held beyond what is wanted from before: a word that comes late still finds it."""
STORE_AGAIN_S: Final = 1.0
INBOX_PACKETS: Final = 256
END_S: Final = 0.8
"""What is being written when stdin ends may be finished for so long."""
BACKOFF_FIRST_S, BACKOFF_MAX_S = 1.0, 30.0
STABLE_S: Final = 10.0
"""A source that was open for so long is opened again soon."""
LINE_BYTES_MAX: Final = 65536
NICE: Final = 10
"""A press goes before pictures: the kernel gives the daemon its turn first (nice(2))."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The source is closed, or does not open."""

    reason: str


@dataclass(frozen=True, slots=True)
class Looked:
    look: Look | None


@dataclass(frozen=True, slots=True)
class Answered:
    """What was found in a picture that somebody asked for."""

    asked: Asked
    found: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Word:
    """A line of the daemon; None: its end."""

    said: dict[str, Any] | None


Message = Stream | Packet | Lost | Looked | Answered | Word


def open_source(source: str, masks: Sequence["Polygon"] = ()) -> Source:
    """Opens a camera by what its source begins with, and masked where anything is to be. Raises CameraError."""
    if masks:
        from drivers.masked_source import MaskedSource

        return MaskedSource(source, masks)
    if source.startswith(("http://", "https://")):
        from drivers.mjpeg_http import MjpegHttp

        return MjpegHttp(source)
    from drivers.cv2_source import Cv2Source  # 40 MB, which a camera over HTTP does not need

    return Cv2Source(source)


class Worker:
    """The main thread. say: writes a line to the daemon."""

    def __init__(self, who: dict[str, Any], say: Callable[[dict[str, Any]], None]) -> None:
        """who: the first line. Raises VaultError, KeyError, TypeError, ValueError."""
        self._camera, self._source = str(who["camera"]), str(who["source"])
        self._media_dir, self._look_s = Path(who["media_dir"]), float(who["look_s"])
        self._recipients = read_recipients(who["recipients"])
        self._masks: Sequence[Polygon] = ()
        if "masks" in who:
            from drivers.masked_source import read_polygons  # decoding costs memory that most cameras do without

            self._masks = read_polygons(who["masks"])
        self._say = say
        self._inbox: deque[Message] = deque()
        self._bell = threading.Event()
        self._prompt = False  # something is wanted of the next picture
        self._room = threading.Semaphore(INBOX_PACKETS)
        self._open_again = threading.Event()
        self._said: tuple[CameraQuality, str] | None = None
        now_s = time.monotonic()
        self._state = CameraState(float(who["before_s"]) + SPARE_S, int(who["ring_bytes_max"]), now_s)
        self._beat_s = self._store_s = self._look_due_s = now_s
        self._looking = self._reading = False
        self._reads = Reads()
        self._through_s = 0.0

    def run(self) -> None:
        """Until the end of stdin."""
        threading.Thread(target=self._read_camera, name="camera", daemon=True).start()
        threading.Thread(target=self._read_words, name="words", daemon=True).start()
        while self._take_all():
            now_s = time.monotonic()
            self._read_next(now_s)
            self._prompt = self._state.wanting or self._reads.waiting
            if now_s >= self._store_s:
                self._store(now_s)
            if (quality := self._state.quality(now_s)) and quality != self._said:
                self._said = quality
                self._say({"quality": quality[0], "reason": quality[1]})
            if now_s >= self._beat_s:
                self._beat(now_s)

    def _put(self, message: Message) -> None:
        """From the other threads."""
        self._inbox.append(message)
        if self._prompt or not isinstance(message, Packet) or len(self._inbox) > INBOX_PACKETS // 2:
            self._bell.set()

    def _take_all(self) -> bool:
        """Takes what has come, after it was rung for or something is due. False: stdin has ended."""
        due_s = min(self._beat_s, self._reads.due_s())
        due_s = min(due_s, self._store_s) if self._state.to_store else due_s
        self._bell.wait(max(0.0, due_s - time.monotonic()))
        self._bell.clear()
        return all(self._take(self._inbox.popleft()) for _ in range(len(self._inbox)))

    def _take(self, message: Message) -> bool:
        match message:
            case Packet():
                self._room.release()
                self._state.packet(message)
            case Stream():
                self._state.opened(message, time.monotonic())
            case Lost(reason):
                self._state.lost(reason)
            case Looked(seen):
                self._state.looked(seen)
            case Answered(asked, found):
                self._reading = False
                self._answer(asked, found)
            case Word(None):
                return False
            case Word({"record": [int() | float() as from_s, int() | float() as until_s]}):
                self._state.record(from_s, until_s)
            case Word({"picture": int() | float() as at_s}):
                self._state.picture(at_s)
            case Word({"read": {"ref": str() as ref, "at_s": int() | float() as at_s, "what": [*what]}}):
                self._ask(Asked("read", ref, at_s, time.monotonic(), {"what": what}))
            case Word({"preview": {"ref": str() as ref, "pixelate": bool() as pixelate}}):
                self._ask(Asked("preview", ref, -inf, time.monotonic(), {"pixelate": pixelate}))
            case Word(said):
                _log(f"understood nothing of a line with {sorted(said or ())}")
        return True

    def _ask(self, asked: Asked) -> None:
        if not self._reads.ask(asked):
            self._answer(asked, {"reason": BUSY})

    def _read_next(self, now_s: float) -> None:
        """Pictures for all that wait for theirs; the oldest goes to a child, if none is there now."""
        if self._reads.waiting:
            self._reads.pick(self._state.newest, self._state.away, now_s)
        while not self._reading and (asked := self._reads.take(now_s)):
            if asked.reason or asked.clip is None:
                self._answer(asked, {"reason": asked.reason})
                continue
            self._reading = True
            picture = asked.clip.stream, asked.clip.pictures[0].packet.data
            threading.Thread(target=self._read, args=(asked, *picture), name="read", daemon=True).start()

    def _answer(self, asked: Asked, found: dict[str, Any]) -> None:
        """Says what was found. The picture of a read is evidence: it is on the disk when it is named."""
        answer = {"ref": asked.ref, "at_s": asked.clip.from_s if asked.clip else None, "reason": "", **found}
        if asked.kind == "read" and asked.clip:
            try:
                answer["file"] = self._file(asked.clip, alone=True)
            except VaultError as error:
                answer["reason"] = f"{answer['reason']}; its picture is not stored: {error}".removeprefix("; ")
        self._say({asked.kind: answer})

    def _store(self, now_s: float) -> None:
        """Stores what is next and tells of it. One file, so that whoever waits for a beat does not wait for many."""
        if not (next_one := self._state.to_store):
            return
        try:
            file = self._file(*next_one)
        except VaultError as error:
            self._state.not_stored(str(error))
            self._store_s = now_s + STORE_AGAIN_S
            return
        self._state.stored()
        self._tell([file], self._state.through_s(now_s))

    def _file(self, clip: Clip, alone: bool) -> dict[str, Any]:
        first = clip.pictures[0].packet.data
        if clip.stream.codec != "mjpeg":
            plain, media_type = mpegts.mux(clip.pictures, clip.stream), "video/mp2t"
        elif alone:
            plain, media_type = first, "image/jpeg"
        else:
            plain, media_type = avi.mux(clip.pictures, clip.stream), "video/x-msvideo"
        stored = store(plain, self._media_dir, self._camera, self._recipients)
        file = {
            "sha256": stored.sha256,
            "plain_sha256": stored.plain_sha256,
            "bytes": stored.bytes,
            "media_type": media_type,
            "from_s": clip.from_s,
            "to_s": clip.to_s,
            "ends_s": clip.ends_s,
        }
        return file | ({"encrypted": "age"} if stored.encrypted else {}) | ({"key_frame": True} if alone else {})

    def _tell(self, files: list[dict[str, Any]], through_s: float | None) -> None:
        """through_s None: as it was told last. (Now would be wrong: the next word may want what is before.)"""
        self._through_s = self._through_s if through_s is None else through_s
        self._say({"files": files, "through_s": self._through_s})

    def _beat(self, now_s: float) -> None:
        self._beat_s = now_s + BEAT_S
        self._say({"beat": self._state.beat(now_s, _rss_bytes())})
        through_s = self._state.through_s(now_s)
        if through_s is not None:
            self._tell([], through_s)
        if self._state.useless(now_s):
            self._open_again.set()
        if now_s >= self._look_due_s and not self._looking and (picture := self._state.to_look_at()):
            self._look_due_s, self._looking = now_s + self._look_s, True
            threading.Thread(target=self._look, args=picture, name="look", daemon=True).start()

    # ---- the other threads

    def _look(self, stream: Stream, picture: bytes) -> None:
        try:
            self._put(Looked(look(stream, picture)))
        except CameraError as error:
            _log(str(error))
        self._looking = False

    def _read(self, asked: Asked, stream: Stream, picture: bytes) -> None:
        try:
            if asked.kind == "read":
                found = read(stream, picture, asked.more["what"])
            else:
                found = {"jpeg": preview(stream, picture, pixelate=asked.more["pixelate"])}
        except CameraError as error:
            found = {"reason": str(error)}
        self._put(Answered(asked, found))

    def _read_camera(self) -> None:
        failures = 0
        while True:
            opened_s = time.monotonic()
            try:
                camera = open_source(self._source, self._masks)
                try:
                    self._put(camera.stream)
                    self._open_again.clear()
                    while not self._open_again.is_set():
                        self._room.acquire()
                        self._put(camera.read())
                finally:
                    camera.close()
                self._put(Lost("it sends nothing of use; it is opened again"))
            except CameraError as error:
                self._put(Lost(str(error)))
            failures = 0 if time.monotonic() > opened_s + STABLE_S else failures + 1
            pause_s = random.uniform(0, min(BACKOFF_FIRST_S * 2**failures, BACKOFF_MAX_S))
            threading.Event().wait(pause_s)  # nothing ends it early: the process ends as a whole

    def _read_words(self) -> None:
        while line := sys.stdin.buffer.readline(LINE_BYTES_MAX):
            try:
                said = json.loads(line)
            except ValueError:
                said = {}
            self._put(Word(said if isinstance(said, dict) else {}))
        self._put(Word(None))
        threading.Event().wait(END_S)
        os._exit(0)


def _rss_bytes() -> int:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _log(text: str) -> None:
    sys.stderr.write(f"camera_worker: {text}\n")


def _broken(kind: type[BaseException], trace: TracebackType | None) -> None:
    """A mistake of ours ends the process, so that the daemon starts it again. The text of the exception stays here: it
    may hold an address with its password."""
    traceback.print_tb(trace)
    _log(kind.__name__)
    os._exit(1)  # what a library's thread is in the middle of would hold up an orderly end, or crash in it


def main() -> None:
    """Exits at once at the end, whatever other threads are in the middle of. 2: a first line that is none."""
    with suppress(OSError):  # where a sandbox forbids it, pictures come all the same
        os.nice(NICE)
    threading.excepthook = lambda broken: _broken(broken.exc_type, broken.exc_traceback)
    sys.excepthook = lambda kind, _, trace: _broken(kind, trace)
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what libraries print is no word of ours

    def say(words: dict[str, Any]) -> None:
        out.write(json.dumps(words).encode() + b"\n")

    try:
        worker = Worker(json.loads(sys.stdin.buffer.readline(LINE_BYTES_MAX)), say)
    except VaultError as error:
        say({"quality": "storage", "reason": str(error)})
        os._exit(2)
    except (ValueError, KeyError, TypeError) as error:
        _log(f"the first line is none: {type(error).__name__}")
        os._exit(2)
    with suppress(BrokenPipeError):  # the daemon is gone
        worker.run()
    os._exit(0)


if __name__ == "__main__":
    main()
