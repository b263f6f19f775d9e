"""What masks hide, which pictures they leave, and what becomes of those that cannot be masked."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

import cv2
import masked
import numpy as np
import pytest
from camera_clips import FILMS, film, probed, run
from camera_server import JPEG, MULTIPART, CameraServer, part, says

from drivers import masked_source
from drivers.cv2_source import Cv2Source
from drivers.masked_source import MaskedSource, Polygon, read_polygons
from drivers.packets import CameraError, Packet, Stream

HALF: Polygon = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
TRIANGLE: Polygon = ((0.6, 0.2), (0.95, 0.5), (0.55, 0.9))


def white(width: int = 640, height: int = 360) -> "cv2.typing.MatLike":
    return np.full((height, width, 3), 255, np.uint8)


def decoded(jpeg: bytes) -> "cv2.typing.MatLike":
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return picture


def encoded(picture: "cv2.typing.MatLike") -> bytes:
    return cv2.imencode(".jpg", picture)[1].tobytes()


def read(pictures: Sequence[bytes], polygons: Sequence[Polygon] = (HALF,)) -> list[bytes]:
    """What comes of a camera over HTTP that sends these, each of them due."""
    all_due = patch.object(masked_source, "STILL_S", 0.0)  # they all come at once
    with all_due, CameraServer(says(MULTIPART, *map(part, pictures), hold=True)) as server:
        camera = MaskedSource(server.url(), polygons)
        found = [camera.read().data for _ in pictures]
        camera.close()
    return found


@pytest.mark.parametrize("size", [(640, 360), (641, 363), (1920, 1080), (320, 240)])
def test_a_mask_is_black_where_its_polygon_is_and_nowhere_else(size: tuple[int, int]) -> None:
    picture = decoded(masked_source.masked(white(*size), [HALF, TRIANGLE]))
    black, clear = masked.hidden(*size, [HALF, TRIANGLE])
    assert picture[black].max() <= 2
    assert picture[clear].min() >= 250
    assert picture.shape == (size[1], size[0], 3)


def test_before_it_is_encoded_every_pixel_whose_middle_is_in_a_polygon_is_black() -> None:
    picture = white(333, 217)
    masked_source.masked(picture, [TRIANGLE])
    within = masked.inside(TRIANGLE, 333, 217)
    near = cv2.dilate(within.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    inner = cv2.erode(within.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    assert picture[inner].max() == 0
    assert picture[~near].min() == 255


def test_where_polygons_overlap_nothing_is_clear() -> None:
    other: Polygon = ((0.25, 0.0), (0.75, 0.0), (0.75, 1.0), (0.25, 1.0))
    picture = white()
    masked_source.masked(picture, [HALF, other])
    assert picture[:, :480].max() == 0


def test_a_mask_over_the_whole_picture_leaves_black_ones() -> None:
    whole: Polygon = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
    assert decoded(masked_source.masked(white(), [whole])).max() == 0


def test_what_is_hidden_changes_no_byte_of_what_comes_out() -> None:
    one, other = white(), white()
    other[16:336, 16:288] = np.random.default_rng(1).integers(0, 255, (320, 272, 3))  # well within HALF
    found = read([encoded(one), encoded(other)])
    assert found[0] == found[1]


def test_nothing_else_of_the_cameras_bytes_comes_along() -> None:
    """A comment, and a thumbnail as cameras put it into an APP1 segment."""
    jpeg = encoded(white())
    secret = encoded(np.full((16, 16, 3), (0, 0, 255), np.uint8))
    segment = b"\xff\xe1" + (2 + len(secret)).to_bytes(2, "big") + secret
    [found] = read([jpeg[:2] + b"\xff\xfe\x00\x0aby me!!!" + segment + jpeg[2:]])
    assert secret not in found
    assert b"by me!!!" not in found
    assert decoded(found)[:, 340:].min() >= 250


def test_a_picture_that_is_damaged_comes_out_empty_and_the_next_one_is_masked() -> None:
    jpeg = encoded(white())
    wrong = jpeg[:400] + bytes(4000) + jpeg[400:]
    noise = encoded(np.random.default_rng(1).integers(0, 255, (360, 640, 3), np.uint8))
    torn, garbage, whole = read([noise[: len(noise) // 2], b"garbage", jpeg])
    assert (torn, garbage) == (b"", b"")
    assert decoded(whole)[:, :300].max() <= 2
    [odd] = read([wrong])  # damage that still decodes
    assert not odd or decoded(odd)[:, :300].max() <= 2


def test_a_camera_that_changes_its_size_is_masked_at_each() -> None:
    sizes = [(640, 360), (320, 240), (360, 640), (640, 360)]
    for (width, height), jpeg in zip(sizes, read([encoded(white(*size)) for size in sizes]), strict=True):
        picture = decoded(jpeg)
        assert picture.shape == (height, width, 3)
        assert picture[:, : width // 2 - 16].max() <= 2
        assert picture[:, width // 2 + 16 :].min() >= 250


def test_a_picture_that_is_too_large_to_mask_is_told_without_credentials() -> None:
    at = JPEG.index(b"\xff\xc0")
    large = JPEG[: at + 5] + b"\x20\x00\x20\x00" + JPEG[at + 9 :]  # 8192 x 8192
    with CameraServer(says(MULTIPART, part(large), hold=True)) as server:
        camera = MaskedSource(server.url(user="eye:geheim"), [HALF])
        with pytest.raises(CameraError, match=r"pictures of 8192 x 8192, allowed with masks are 8847360") as told:
            camera.read()
        camera.close()
    assert "geheim" not in str(told.value)


def test_a_film_that_is_too_large_to_mask_is_told_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(masked_source, "PIXELS_MAX", 160 * 120 - 1)
    with pytest.raises(CameraError, match="pictures of 160 x 120"):
        MaskedSource(str(film(tmp_path / "film.mp4", "h264", 1)), [HALF])


# ---- which pictures


class Eye:
    """A camera with these times: (pts_s, seen_s)."""

    stream = Stream("mjpeg")

    def __init__(self, times: Sequence[tuple[float, float]]) -> None:
        self._packets = [Packet(JPEG, True, pts_s, pts_s, seen_s) for pts_s, seen_s in times]

    def read(self) -> Packet:
        if not self._packets:
            raise CameraError("the end")
        return self._packets.pop(0)


def kept(monkeypatch: pytest.MonkeyPatch, times: Sequence[tuple[float, float]]) -> list[Packet]:
    monkeypatch.setattr(masked_source, "MjpegHttp", lambda _: Eye(times))
    camera, found = MaskedSource("http://camera/", [HALF]), []
    with pytest.raises(CameraError, match="the end"):
        while True:
            found.append(camera.read())
    return found


def even(fps: float, seconds: float = 10) -> list[tuple[float, float]]:
    return [(1000 + number / fps, 50 + number / fps) for number in range(round(seconds * fps))]


@pytest.mark.parametrize("fps", [6, 7, 8, 12, 15, 20, 25, 30, 60])
def test_of_a_fast_camera_five_pictures_a_second_are_left(monkeypatch: pytest.MonkeyPatch, fps: int) -> None:
    found = kept(monkeypatch, even(fps))
    assert len(found) == pytest.approx(50, abs=1)
    pauses = [after.pts_s - before.pts_s for before, after in pairwise(found)]
    assert max(pauses) <= 0.2 + 1 / fps + 1e-9


@pytest.mark.parametrize("fps", [0.5, 1, 4, 5])
def test_of_a_slow_camera_none_is_left_out_though_its_times_waver(monkeypatch: pytest.MonkeyPatch, fps: float) -> None:
    times = [(pts_s + 0.02 * (-1) ** number, seen_s) for number, (pts_s, seen_s) in enumerate(even(fps))]
    assert len(kept(monkeypatch, times)) == len(times)


def test_what_the_network_held_up_is_thinned_by_the_cameras_times(monkeypatch: pytest.MonkeyPatch) -> None:
    times = [(pts_s, max(seen_s, 54.0)) for pts_s, seen_s in even(15)]
    found = kept(monkeypatch, times)
    assert [packet.pts_s for packet in found] == pytest.approx([1000 + number / 5 for number in range(50)])
    assert [packet.seen_s for packet in found] == pytest.approx([max(54.0, 50 + number / 5) for number in range(50)])


@pytest.mark.parametrize("step_s", [-3600, -1, 1, 3600])
def test_a_step_of_the_cameras_times_costs_nothing(monkeypatch: pytest.MonkeyPatch, step_s: float) -> None:
    times = [(pts_s + step_s * (seen_s > 55), seen_s) for pts_s, seen_s in even(15)]
    assert len(kept(monkeypatch, times)) == pytest.approx(50, abs=1)


def test_where_the_cameras_times_stand_still_pictures_come_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    found = kept(monkeypatch, [(1000.0, seen_s) for _, seen_s in even(15)])
    assert 9 <= len(found) <= 11


# ---- decoded films


@pytest.mark.parametrize(
    ("kind", "suffix"), [("h264", "mp4"), ("b-frames", "ts"), ("b-frames", "mp4"), ("hevc", "mkv"), ("mjpeg", "avi")]
)
def test_the_times_of_decoded_pictures_are_those_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, suffix: str
) -> None:
    monkeypatch.setattr(Cv2Source, "_pace", lambda _, dts_s: dts_s)
    path = film(tmp_path / f"film.{suffix}", kind)
    expected = sorted(at_s for at_s, _ in probed(path))[::2]
    camera = MaskedSource(str(path), [HALF])
    packets = [camera.read() for _ in expected]
    camera.close()
    assert camera.stream == Stream("mjpeg")
    assert [packet.pts_s - packets[0].pts_s for packet in packets] == pytest.approx(expected, abs=0.0011)
    assert all(packet.dts_s == packet.pts_s and packet.key for packet in packets)
    for packet in packets:
        assert decoded(packet.data)[:, :64].max() <= masked.BLACK
    shown = [decoded(packet.data)[:, 96:] for packet in packets]
    assert all((one != other).any() for one, other in pairwise(shown)), "the picture is that of its time"


def test_decoded_pictures_are_the_ones_that_ffmpeg_decodes(tmp_path: Path) -> None:
    path = film(tmp_path / "film.mp4", "b-frames", 1)
    wanted = np.frombuffer(run(f"ffmpeg -v error -i {path} -f rawvideo -pix_fmt bgr24 -"), np.uint8).reshape(
        -1, 120, 160, 3
    )[::2]
    camera = MaskedSource(str(path), [((0.0, 0.0), (0.1, 0.0), (0.0, 0.1))])
    for picture in wanted:
        found = decoded(camera.read().data)
        assert np.abs(found.astype(int) - picture)[20:].mean() < 6
    camera.close()


def test_a_film_that_changes_its_size_in_the_middle_is_masked_and_keeps_its_first_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenCV scales what comes to the size at which it opened; masks are in parts, and so still right."""
    monkeypatch.setattr(Cv2Source, "_pace", lambda _, dts_s: dts_s)
    path = tmp_path / "film.ts"
    with path.open("wb") as whole:
        for size in ("160x120", "320x240", "96x176"):
            source = f"-f lavfi -i color=white:size={size}:rate=10:duration=2"
            whole.write(run(f"ffmpeg -v error {source} {FILMS['h264']} -f mpegts -"))
    camera, sizes = MaskedSource(str(path), [HALF]), set()
    for _ in range(25):
        picture = decoded(camera.read().data)
        sizes.add(picture.shape[:2])
        assert picture[:, : picture.shape[1] // 2 - 16].max() <= masked.BLACK
        assert picture[:, picture.shape[1] // 2 + 16 :].min() >= 230
    camera.close()
    assert sizes == {(120, 160)}


# ---- the first line


@pytest.mark.parametrize(
    "told",
    [
        None, 5, [None], [[]], [[[0, 0], [1, 0]]], [[[0, 0], [1, 0], [1]]], [[[0, 0], [1, 0], [1, 1.01]]],
        [[[0, 0], [1, 0], [-0.1, 1]]], [[[0, 0], [1, 0], ["a", 1]]], [[[0, 0], [1, 0], [float("nan"), 1]]],
    ],
)  # fmt: skip
def test_masks_that_are_none_are_refused(told: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        read_polygons(told)  # type: ignore[arg-type]


def test_masks_are_read_as_they_are_told() -> None:
    assert read_polygons([[[0, 0], [0.5, 0], [0.5, 1], [0, 1]]]) == (HALF,)
