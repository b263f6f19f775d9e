"""What was before and after: which camera records for which event, and which files are evidence of it. Pure.

    alarm, scan, cancel, command -> clip (camera, from, until) -> Record, TakePicture
    Filed -> status.evidence of each clip that the files belong to, and their rows -> uploads

A clip under way is on the disk with the event that caused it, and a later run goes on with it. Two clips of one camera
share their files; what is on the disk already when the second begins is told of it too.
"""

import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from agent.events import Stamp, rfc3339
from agent.kinds import CLASSES, EventClass
from agent.mail import Action, Say, Write
from agent.media_mail import CameraFile, CameraSaid, CameraStarted, Filed, OwedFile, Record, TakePicture
from agent.models_evidence import EvidenceData, EvidenceFile
from agent.recorder import Recorder

if TYPE_CHECKING:
    from agent.config import Camera

GRACE_S: Final = 15.0
"""A clip whose camera has not filed all of it so long after its end has ended."""
RECENT_MAX: Final = 500
"""Files of a camera that a clip which begins now may still share."""
WAITING_MAX, CLIPS_MAX = 12, 64
"""Clips of one camera, but for those of alarms: so many wait for their picture (its process remembers 16 wishes), and
so many are under way. What comes beyond has no picture: a storm of scans takes no memory, and no time of an alarm."""
BUSY: Final = "more was wanted of the camera at once than it can take"
FILES_MAX: Final = 100
"""Files in one event, which is at most 64 KB."""


@dataclass(slots=True)
class Clip:
    """What a camera records for one event, `case`; seconds are monotonic.

    at_s: when it happened; from_s, until_s: what is wanted around it. picture: one picture is all that is wanted.
    told: files that an event has named; pictured: one of them was a picture alone.
    """

    case: str
    camera: str
    cls: EventClass
    at_s: float
    from_s: float
    until_s: float
    picture: bool = False
    told: set[str] = field(default_factory=set)
    pictured: bool = False

    @property
    def name(self) -> str:
        return f"{self.case} {self.camera}"

    def stored(self, boot: str, wall_us: int) -> str:
        """What the journal keeps of it; wall_us: of `at_s`."""
        kept = {key: getattr(self, key) for key in ("case", "camera", "cls", "at_s", "from_s", "until_s", "picture")}
        return json.dumps(kept | {"boot": boot, "wall_us": wall_us}, sort_keys=True)

    def wants(self, file: CameraFile) -> bool:
        if file.sha256 in self.told:
            return False
        if file.key_frame:
            return True
        return not self.picture and file.ends_s >= self.from_s and file.from_s <= self.until_s

    def role(self, file: CameraFile) -> Literal["before", "during", "after"]:
        return "before" if file.to_s < self.at_s else "after" if file.from_s > self.at_s else "during"


class Evidence:
    """The clips under way."""

    def __init__(
        self,
        cameras: Sequence["Camera"],
        stored: Mapping[str, str],
        recorder: Recorder,
        owed: Callable[[Sequence[OwedFile]], None],
        out: list[Action],
    ) -> None:
        """stored: clips of an earlier run. owed: hears of files once they are on the disk with their event."""
        self._cameras = {camera.id: camera for camera in cameras}
        self._recorder, self._owed, self._out = recorder, owed, out
        self._clips: dict[str, Clip] = {}
        for name, body in stored.items():
            try:
                self._clips[name] = restored(name, body, recorder.boot, recorder.now)
            except ValueError as error:
                self._out.append(Say("error", f"clip {name}: its row cannot be read, and is forgotten: {error}"))
                self._out.append(Write(clips={name: None}))
        self._recent = {name: deque[CameraFile](maxlen=RECENT_MAX) for name in self._cameras}
        self._named = {name: deque[str](maxlen=RECENT_MAX) for name in self._cameras}
        """Files that an event has named: they have their row."""
        self._sharing: list[Clip] = []
        """New ones, which are not told yet of what is on the disk already: an alarm's own way is not the place."""

    # ---- in

    def caused(
        self,
        case: str,
        cls: EventClass,
        cameras: Iterable[str],
        at: Stamp,
        *,
        picture: bool = False,
        after_s: float | None = None,
    ) -> None:
        """An event wants pictures; a second one of the same case makes its clips longer. after_s: as in the config."""
        for name in cameras:
            camera = self._cameras[name]
            until_s = at.mono_s + (0 if picture else camera.after_s if after_s is None else after_s)
            clip = Clip(case, name, cls, at.mono_s, at.mono_s - camera.before_s, until_s, picture)
            if (known := self._clips.get(clip.name)) is not None:
                known.until_s = max(known.until_s, until_s)
                clip = known
            elif cls != "alarm" and self._busy(name):
                self._record(clip, (), last=True, reason=BUSY)
                continue
            else:
                self._clips[clip.name] = clip
                self._out.append(TakePicture(name, at.mono_s))
            self._wish(clip)
            self._keep(clip)
            self._sharing.append(clip)

    def _busy(self, camera: str) -> bool:
        """More is wanted of it than it can take."""
        clips = [clip for clip in self._clips.values() if clip.camera == camera]
        return len(clips) >= CLIPS_MAX or sum(not clip.pictured for clip in clips) >= WAITING_MAX

    def _share(self) -> None:
        sharing, self._sharing = self._sharing, []
        for clip in sharing:
            self._tell(clip, self._recent[clip.camera])

    def read(self, case: str, cls: EventClass, camera: str, at: Stamp, file: CameraFile) -> None:
        """The picture in which a camera read something is evidence of that, and needs no clip to wait for it."""
        clip = Clip(case, camera, cls, at.mono_s, at.mono_s, at.mono_s, picture=True)
        self._tell(clip, [file], last=clip.name not in self._clips)

    def filed(self, message: Filed) -> None:
        """Files are on the disk: evidence of every clip that they belong to.

        A picture alone is of one clip: each has asked for its own, and they come in that order.
        """
        self._share()
        clips = [clip for clip in self._clips.values() if clip.camera == message.camera]
        pictures = deque(file for file in message.files if file.key_frame)
        files = [file for file in message.files if not file.key_frame]
        self._recent[message.camera].extend(files)
        for clip in clips:
            own = [pictures.popleft()] if pictures and not clip.pictured else []
            done = clip.pictured or bool(own)
            self._tell(clip, [*own, *files], last=done and (clip.picture or message.through_s >= clip.until_s))

    def started(self, message: CameraStarted) -> None:
        """The camera's process is a new one: it is told what it is to do."""
        for clip in self._clips.values():
            if clip.camera == message.camera:
                if not clip.pictured:
                    self._out.append(TakePicture(clip.camera, clip.at_s))
                self._wish(clip)

    def said(self, message: CameraSaid) -> None:
        """How a camera is."""
        name = f"camera {message.camera}"
        if message.quality == "good":
            self._recorder.trouble_over(name)
        else:
            self._recorder.trouble(name, f"{message.quality}: {message.reason}" if message.reason else message.quality)

    def tick(self) -> None:
        """What is on the disk already is told of new clips too; and what has waited long enough for its camera."""
        if self._recorder.alarm_s is None:
            self._share()
        for clip in [*self._clips.values()]:
            if self._recorder.now.mono_s >= clip.until_s + GRACE_S:
                self._tell(clip, (), last=True)

    def due_s(self) -> float | None:
        """When `tick` has something to say next."""
        if self._sharing and self._recorder.alarm_s is None:
            return self._recorder.now.mono_s
        return min((clip.until_s + GRACE_S for clip in self._clips.values()), default=None)

    def moved(self, stale: Iterable[str]) -> None:
        """The box goes on in another journal: that has the clips too. stale: those that it has, by name."""
        self._out.append(Write(clips=dict.fromkeys(stale)))
        for clip in self._clips.values():
            self._keep(clip)

    # ---- out

    def _wish(self, clip: Clip) -> None:
        if not clip.picture:
            self._out.append(Record(clip.camera, clip.from_s, clip.until_s))

    def _keep(self, clip: Clip) -> None:
        self._out.append(
            Write(clips={clip.name: clip.stored(self._recorder.boot, self._recorder.at(clip.at_s).wall_us)})
        )

    def _tell(self, clip: Clip, files: Iterable[CameraFile], *, last: bool = False) -> None:
        """Records those that the clip wants; the last event also when there are none."""
        wanted: list[CameraFile] = []
        for file in files:
            if clip.wants(file):
                clip.told.add(file.sha256)
                clip.pictured |= file.key_frame
                wanted.append(file)
        while len(wanted) > FILES_MAX:
            self._record(clip, wanted[:FILES_MAX], last=False)
            del wanted[:FILES_MAX]
        if wanted or last:
            self._record(clip, wanted, last=last)

    def _record(self, clip: Clip, files: Sequence[CameraFile], *, last: bool, reason: str = "") -> None:
        data: EvidenceData = {
            "case": clip.case,
            "camera": clip.camera,
            "files": [self._described(clip, file) for file in files],
        }
        if reason:
            data["reason"] = reason
        ended: dict[str, str | None] = {}
        if last:
            data["last"] = True
            ended[clip.name] = None
            self._clips.pop(clip.name, None)
        named = self._named.get(clip.camera, ())
        fresh = [file for file in files if file.sha256 not in named]
        seq = self._recorder.next_seq
        rows = [
            OwedFile(
                *(
                    file.sha256,
                    seq,
                    clip.case,
                    clip.cls,
                    clip.camera,
                    self._time(file.to_s),
                    file.bytes,
                ),
                key_frame=file.key_frame,
            )
            for file in fresh
        ]
        if fresh:
            self._named[clip.camera].extend(file.sha256 for file in fresh)
        self._recorder.record(
            "status.evidence",
            clip.camera,
            data,
            then=lambda _: self._owed(rows),
            files=tuple(rows),
            clips=ended,
        )

    def _described(self, clip: Clip, file: CameraFile) -> EvidenceFile:
        described: EvidenceFile = {
            "sha256": file.sha256,
            "plain_sha256": file.plain_sha256,
            "bytes": file.bytes,
            "media_type": file.media_type,
            "from": self._time(file.from_s),
            "to": self._time(file.to_s),
            "role": clip.role(file),
        }
        if file.encrypted:
            described["encrypted"] = "age"
        if file.key_frame:
            described["key_frame"] = True
        return described

    def _time(self, mono_s: float) -> str:
        return rfc3339(self._recorder.at(mono_s).wall_us)


KEPT: Final = {
    **dict.fromkeys(("case", "camera", "cls", "boot"), str),
    **dict.fromkeys(("at_s", "from_s", "until_s"), float),
    "picture": bool,
    "wall_us": int,
}
"""What a stored clip has, and of which type; a whole number of seconds is a float too."""
NUMBER_MAX: Final = 1e18


def restored(name: str, body: str, boot: str, now: Stamp) -> Clip:
    """A clip of an earlier run; after a reboot its seconds are counted back from the wall clock.

    Raises ValueError where that is not what `Clip.stored` made under this name.
    """
    try:
        kept = json.loads(body)
        types = {key: type(value) for key, value in kept.items()}
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise ValueError(f"found {body!r:.80}, a JSON object is wanted") from None
    wrong = {key for key in {*KEPT, *types} if types.get(key) != KEPT.get(key)}
    wrong -= {key for key in wrong if KEPT.get(key) is float and types.get(key) is int}
    if not wrong:
        numbers = (key for key, kind in KEPT.items() if kind in (int, float))
        wrong = {key for key in numbers if not abs(kept[key]) < NUMBER_MAX}
        wrong |= set() if kept["cls"] in CLASSES else {"cls"}
    if wrong:
        raise ValueError(f"found {body!r:.80}, which is wrong in {', '.join(sorted(wrong))}")
    was, wall_us = kept.pop("boot"), kept.pop("wall_us")
    clip = Clip(**kept)
    if clip.name != name or not clip.from_s <= clip.at_s <= clip.until_s:
        raise ValueError(f"found {body!r:.80} under another name, or with an end before its beginning")
    if was != boot:
        shift_s = now.mono_s - max(0.0, (now.wall_us - wall_us) / 1e6) - clip.at_s
        clip.at_s, clip.from_s, clip.until_s = clip.at_s + shift_s, clip.from_s + shift_s, clip.until_s + shift_s
    return clip
