"""Films with wrong bytes, by seed, read as a camera's process reads them. A process of its own: a codec may crash.

python tests/mutated_films.py FOLDER FIRST LAST      a line for each seed: how many pictures and files came of it
"""

import random
import sys
from collections.abc import Sequence
from pathlib import Path

from drivers import avi, cv2_source, mpegts
from drivers.camera_state import CameraState
from drivers.packets import CameraError

READS = 40


def mutated(film: bytes, seed: int) -> bytes:
    """Bytes changed, cut out, doubled, or the end cut off."""
    rng = random.Random(seed)
    data = bytearray(film)
    for _ in range(rng.choice((1, 3, 10, 100))):
        at = rng.randrange(len(data))
        match rng.randrange(8):
            case 0:
                del data[at : at + rng.choice((1, 2, 100, 5000))]
            case 1:
                data[at:at] = data[at : at + rng.choice((1, 188, 1000))]
            case 2:
                data[at : at + 4] = rng.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\0\0\0\1"))
            case 3 if rng.random() < 0.1:
                del data[at:]
            case _:
                data[at] = rng.randrange(256)
        if len(data) < 100:
            break
    return bytes(data)


def read(path: Path) -> tuple[int, int, int]:
    """(good, bad, files)."""
    state = CameraState(10.0, 1_000_000, 0.0)
    state.record(0.0, 1e9)
    files = 0
    try:
        source = cv2_source.Cv2Source(str(path))
        state.opened(source.stream, 0.0)
        try:
            for _ in range(READS):
                state.packet(source.read())
        finally:
            source.close()
    except CameraError as error:
        state.lost(str(error))
    state.lost("the end")
    state.quality(1.0)
    while wanted := state.to_store:
        clip, _ = wanted
        file = (avi if clip.stream.codec == "mjpeg" else mpegts).mux(clip.pictures, clip.stream)
        assert len(file) > sum(len(taken.packet.data) for taken in clip.pictures)
        state.stored()
        files += 1
    return state.packets, state.bad, files


def main(folder: str, first: str, last: str) -> None:
    setattr(cv2_source.Cv2Source, "_pace", lambda _, dts_s: dts_s)  # noqa: B010  as fast as it can be read
    setattr(cv2_source, "WAIT_S", 2)  # noqa: B010
    films: Sequence[Path] = sorted(Path(folder).glob("film.*"))
    for seed in range(int(first), int(last)):
        film = films[seed % len(films)]
        path = Path(folder) / f"mutated{film.suffix}"
        path.write_bytes(mutated(film.read_bytes(), seed))
        sys.stdout.write(f"{seed} {film.name} {' '.join(map(str, read(path)))}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
