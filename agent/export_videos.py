"""The films of an export: one of each camera, with true times."""

from collections.abc import Iterator
from itertools import groupby, pairwise
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

from agent.export_files import File, moment, safe
from agent.export_mp4 import Mp4
from agent.export_streams import TICKS, Clip

PART_GAP_TICKS: Final = 600 * TICKS
"""After a longer gap a new film begins."""
GAP_TICKS: Final = TICKS
"""Told as a gap: no picture for longer than this, and for three times what is usual with this camera."""
TWICE_TICKS: Final = TICKS // 20
"""The picture alone is also the first one of a clip: within this time the same picture comes into the film once."""


class Shown(NamedTuple):
    """A picture of a film: the file it is in, its number in it, and when it was taken, in ticks since 1970."""

    file: File
    number: int
    at: int


def write_videos(out: Path, files: list[File]) -> Iterator[dict[str, Any]]:
    """Writes what can be shown of these files into a folder; each film as the manifest tells it.

    A camera has one film, unless its pictures change in kind or there were none for long. `gaps`: [when the last
    picture before it was taken, seconds]. Raises OSError.
    """
    for camera in sorted({file.entry["camera"] for file in files}):
        film: list[Shown] = []
        for shown in pictures([file for file in files if file.entry["camera"] == camera]):
            if film and not _goes_on(film[-1], shown):
                yield from _video(out, camera, film)
                film = []
            film.append(shown)
        yield from _video(out, camera, film)


def pictures(files: list[File]) -> Iterator[Shown]:
    """The pictures of a camera in the order of decoding, each once."""
    seen: dict[bytes, tuple[int, File]] = {}
    for file in sorted(files, key=lambda file: (file.first, -file.entry["bytes"])):
        for number, (after, digest) in enumerate(file.marks):
            at = file.first + after
            before, whose = seen.get(digest, (at, file))
            if whose is not file and abs(at - before) <= TWICE_TICKS:
                continue
            seen[digest] = at, file
            yield Shown(file, number, at)


def _goes_on(before: Shown, after: Shown) -> bool:
    return _kind(before.file.clip) == _kind(after.file.clip) and after.at - before.at <= PART_GAP_TICKS


def _kind(clip: Clip | None) -> object:
    return clip and (clip.codec, clip.width, clip.height, clip.parameter_sets)


def _video(out: Path, camera: str, film: list[Shown]) -> Iterator[dict[str, Any]]:
    if len(film) < 2 or (kind := film[0].file.clip) is None:
        return  # a picture alone is no film: it stands in files/
    count, name = 1, f"{safe(camera)}.mp4"
    while (out / name).exists():
        count += 1
        name = f"{safe(camera)}-{count}.mp4"
    times = sorted(shown.at for shown in film)
    mp4 = Mp4(out / name, kind, times[0] // TICKS)
    for _, run in groupby(film, key=lambda shown: shown.file.entry["sha256"]):
        shown = list(run)
        clip = shown[0].file.read(out)
        for _, number, at in shown:
            mp4.add(at - times[0], clip.pictures[number].key, clip.pictures[number].units)
    mp4.close()
    lasts = [after - before for before, after in pairwise(times)]
    usual = max(GAP_TICKS, 3 * median(lasts))
    gaps = [[moment(at), round(last / TICKS, 3)] for at, last in zip(times, lasts, strict=False) if last > usual]
    told = {"name": name, "camera": camera, "codec": kind.codec, "pictures": len(film)}
    yield {**told, "from": moment(times[0]), "to": moment(times[-1]), "gaps": gaps}
