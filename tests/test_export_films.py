"""What is in files of evidence, and the films that are made of them: ffmpeg's word against ours."""

import base64
import random
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from clips import needs_ffmpeg
from evidence_case import TYPES, Made, ffmpeg, jpeg, recording, shown_s

from agent import export_pictures
from agent.export_files import File, ticks
from agent.export_streams import TICKS, Clip, Picture, read_clip
from agent.export_videos import write_videos
from drivers.jpeg import check

BEGAN = "2026-11-22T01:34:41.323457Z"


def packet(head: str, payload: str) -> bytes:
    """A packet of MPEG-TS out of hex; an adaptation field (2.4.3.4) fills it up to 188 bytes."""
    data = bytes.fromhex(payload)
    room = 188 - 4 - len(data)
    filling = bytes([room - 1, 0]) + b"\xff" * (room - 2)
    return bytes.fromhex(head) + filling + data


SPS, PPS = "67 42c00a ddc4", "68 ce3c80"
# tables 2-30 (PAT), 2-33 (PMT) and 2-21 (PES) of ISO/IEC 13818-1, each with its checksum left at zero
PAT = packet("47 4000 30", "00  00 b00d 0001 c1 00 00  0001 e100  00000000")
PMT = packet("47 4100 30", "00  02 b012 0001 c1 00 00 e101 f000  1b e101 f000  00000000")
LATE = packet("47 4101 30", f"000001 e0 0000 80 80 05  2f ffff e891  00000001 {SPS} 00000001 {PPS} 000001 65 8881")
EARLY = packet("47 4101 31", "000001 e0 0000 80 80 05  21 0001 1771  00000001 41 9a02")
# RIFF: a header list with one stream of pictures, 25 a second, and the list of its pictures
FRAME = "ffd8  ffc0 0011 08 0018 0020 03 01 22 00 02 11 01 03 11 01  ffda 0008 01 01 00 00 3f 00 3f3f  ffd9"
STREAM = "76696473 4d4a5047 00000000 0000 0000 00000000 01000000 19000000 00000000 03000000" + "00000000" * 5
AVI = bytes.fromhex(
    "52494646 bc000000 41564920"
    f"4c495354 44000000 68647263  73747268 38000000 {STREAM}"
    f"4c495354 64000000 6d6f7669  30306463 23000000 {FRAME} 00  30306463 00000000  30306463 23000000 {FRAME} 00"
)


def test_a_transport_stream_typed_by_hand_is_read_picture_by_picture_over_the_turn_of_its_clock() -> None:
    clip = read_clip("video/mp2t", PAT + PMT + LATE + EARLY)
    assert (clip.codec, clip.width, clip.height) == ("h264", 16, 16)
    assert clip.parameter_sets == (bytes.fromhex(SPS), bytes.fromhex(PPS))
    assert clip.pictures == [(0, True, [bytes.fromhex("65 8881")]), (6000, False, [bytes.fromhex("41 9a02")])]


def test_an_avi_typed_by_hand_is_read_and_an_empty_chunk_is_time_without_a_picture() -> None:
    clip = read_clip("video/x-msvideo", AVI)
    assert (clip.codec, clip.width, clip.height) == ("mjpeg", 32, 24)
    assert clip.pictures == [(0, True, [bytes.fromhex(FRAME)]), (2 * TICKS // 25, True, [bytes.fromhex(FRAME)])]


def test_a_file_of_an_open_gop_begins_with_a_key_picture_too() -> None:
    """A recovery point is no IDR picture; the first picture of a file can be decoded all the same."""
    stream = PAT + PMT + LATE.replace(bytes.fromhex("65 8881"), bytes.fromhex("61 8881")) + EARLY
    assert [picture.key for picture in read_clip("video/mp2t", stream).pictures] == [True, False]


@pytest.mark.parametrize(
    ("media_type", "data", "words"),
    [
        ("video/mp2t", PAT + PMT + LATE[:-1], "byte 376 begins no packet"),
        ("video/mp2t", PAT + LATE, "no stream of H.264 or HEVC"),
        ("video/mp2t", PAT + PMT + EARLY, "parameter sets are missing"),
        ("video/mp2t", b"", "no stream of H.264 or HEVC"),
        ("video/x-msvideo", AVI[:-30], "bytes, and"),
        ("video/x-msvideo", b"RIFF....WAVE", "not with RIFF and AVI"),
        ("image/jpeg", b"GIF89a", "begins with 47 49, not with ff d8"),
        ("image/jpeg", b"\xff\xd8\xff", "cut off: 3 bytes without an end"),
        ("image/png", b"", "image/jpeg are known"),
    ],
)
def test_what_cannot_be_read_says_what_was_found(media_type: str, data: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_clip(media_type, data)


@needs_ffmpeg
@pytest.mark.parametrize("codec", ["h264", "hevc", "mjpeg"])
def test_damage_anywhere_is_read_or_refused_and_never_anything_else(codec: str) -> None:
    made = recording(codec)[0]
    rng = random.Random(4)
    for _ in range(300):
        data = bytearray(made.data)
        for _ in range(rng.choice((1, 1, 8))):
            data[rng.randrange(min(len(data), rng.choice((900, len(data)))))] = rng.randrange(256)
        try:
            read_clip(TYPES[made.suffix], bytes(data[: rng.choice((len(data), rng.randrange(len(data))))]))
        except ValueError as error:
            assert str(error)


def files_of(folder: Path, parts: list[tuple[Made, float]], camera: str = "front") -> list[File]:
    """(file, seconds after the first one) as an export has them before it makes films."""
    (folder / "files").mkdir(exist_ok=True)
    found = []
    for number, (made, after_s) in enumerate(parts):
        began = f"2026-11-22T01:35:{after_s + made.times_s[0]:09.6f}Z"
        ended = f"2026-11-22T01:35:{after_s + made.times_s[-1]:09.6f}Z"
        name = f"files/{camera}-{number}.{made.suffix}"
        (folder / name).write_bytes(made.data)
        entry: dict[str, Any] = {"camera": camera, "from": began, "to": ended, "name": name, "sha256": name}
        file = File({**entry, "media_type": TYPES[made.suffix], "bytes": len(made.data)})
        file.look_into(made.data)
        assert "problem" not in file.entry
        found.append(file)
    return found


def decoded(*paths: Path) -> list[bytes]:
    """A hash of each picture, decoded, in the order in which they are shown."""
    lines = [ffmpeg("-i", str(path), "-vsync", "passthrough", "-f", "framemd5", "-") for path in paths]
    return [line.split()[-1] for text in lines for line in text.splitlines() if not line.startswith(b"#")]


def frames(path: Path) -> list[tuple[float, str]]:
    """(time, I, P or B) of each picture in the order in which it comes out of the decoder."""
    asked = ["-show_entries", "frame=pts_time,pict_type", "-of", "csv=p=0"]
    done = subprocess.run(["ffprobe", "-v", "error", *asked, str(path)], check=True, capture_output=True, text=True)
    return [(float(at), kind) for at, kind, *_ in (line.split(",") for line in done.stdout.split())]


@needs_ffmpeg
@pytest.mark.parametrize("codec", ["h264", pytest.param("hevc", marks=pytest.mark.soak), "mjpeg"])
def test_a_film_has_every_picture_as_the_camera_made_it_at_its_own_time(codec: str, tmp_path: Path) -> None:
    parts = recording(codec)
    files = files_of(tmp_path, [(made, 2) for made in parts])
    [video] = write_videos(tmp_path, files)
    times = [at for made in parts for at in made.times_s]
    assert (video["name"], video["codec"], video["pictures"], video["gaps"]) == ("front.mp4", codec, len(times), [])
    assert shown_s(tmp_path / "front.mp4") == pytest.approx(times, abs=2e-5)
    if codec != "mjpeg":
        assert len({round(after - before, 3) for before, after in pairwise(times)}) > 1, "jittered"
    kinds = [kind for file in files for _, kind in frames(tmp_path / file.entry["name"])]
    found = frames(tmp_path / "front.mp4")
    assert [at for at, _ in found] == pytest.approx(times, abs=2e-5)
    assert [kind for _, kind in found] == kinds
    assert decoded(tmp_path / "front.mp4") == decoded(*(tmp_path / file.entry["name"] for file in files))


@needs_ffmpeg
def test_a_film_is_as_long_as_what_it_shows_and_knows_its_size_and_its_day(tmp_path: Path) -> None:
    list(write_videos(tmp_path, files_of(tmp_path, [(made, 2) for made in recording("hevc")])))
    asked = "stream=codec_name,codec_tag_string,width,height,nb_frames:format=duration:format_tags=creation_time"
    command = ["ffprobe", "-v", "error", "-show_entries", asked, "-of", "csv=p=0", str(tmp_path / "front.mp4")]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert said[0] == "hevc,hvc1,160,120,75"
    length, day = said[1].split(",")
    assert float(length) == pytest.approx(5.0, abs=0.07)
    assert day == "2026-11-22T01:35:02.000000Z"


@needs_ffmpeg
def test_a_gap_stays_a_gap_and_is_told(tmp_path: Path) -> None:
    one, two, _, four, *_ = recording("h264")
    [video] = write_videos(tmp_path, files_of(tmp_path, [(one, 2), (two, 2), (four, 2)]))
    assert shown_s(tmp_path / "front.mp4") == pytest.approx([*one.times_s, *two.times_s, *four.times_s], abs=2e-5)
    [[at, seconds]] = video["gaps"]
    assert seconds == pytest.approx(four.times_s[0] - two.times_s[-1], abs=2e-3)
    assert ticks(at) == pytest.approx(ticks("2026-11-22T01:35:02Z") + two.times_s[-1] * TICKS, abs=200)


@needs_ffmpeg
def test_the_picture_alone_that_is_also_in_a_clip_is_shown_once(tmp_path: Path) -> None:
    clip = recording("mjpeg")[0]
    alone = Made("jpg", read_clip("video/x-msvideo", clip.data).pictures[0].units[0], (0.0,))
    [video] = write_videos(tmp_path, files_of(tmp_path, [(alone, 2.0004), (clip, 2), (jpeg(), 4)]))
    assert video["pictures"] == len(clip.times_s) + 1


@needs_ffmpeg
def test_the_same_picture_twice_in_one_file_of_a_frozen_camera_is_shown_twice(tmp_path: Path) -> None:
    [video] = write_videos(tmp_path, files_of(tmp_path, [(Made("avi", AVI, (0.0, 0.08)), 2)]))
    assert video["pictures"] == 2


@needs_ffmpeg
def test_a_camera_whose_pictures_change_in_kind_or_pause_for_long_has_one_film_more(tmp_path: Path) -> None:
    h264, hevc = recording("h264")[0], recording("hevc")[0]
    files = files_of(tmp_path, [(h264, 2), (hevc, 4)])
    files[1].entry["name"] = "files/front-2.ts"
    (tmp_path / "files/front-1.ts").rename(tmp_path / "files/front-2.ts")
    late = files_of(tmp_path, [(h264, 6)])
    late[0].entry |= {"from": "2026-11-22T02:35:06Z", "to": "2026-11-22T02:35:07Z", "sha256": "late"}
    videos = list(write_videos(tmp_path, files + late))
    assert [(video["name"], video["codec"]) for video in videos] == [
        ("front.mp4", "h264"),
        ("front-2.mp4", "hevc"),
        ("front-3.mp4", "h264"),
    ]


DECODER = """
import os, signal, sys
for path in sys.argv[1:]:
    if b"crash" in open(path, "rb").read():
        os.kill(os.getpid(), signal.SIGSEGV)
    print('{"jpeg": "' + os.path.basename(path) + '", "problem": ""}', flush=True)
"""


def test_a_picture_at_which_the_decoder_dies_costs_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = tmp_path / "decoder.py"
    decoder.write_text(DECODER)
    monkeypatch.setattr(export_pictures, "DECODER", decoder)
    monkeypatch.setattr(export_pictures, "BATCH", 3)
    pictures = [b"a", b"b", b"crash", b"d", b"crash"]
    clips = [Clip("mjpeg", 8, 8, (), [Picture(0, True, [data])]) for data in pictures]
    found = export_pictures.thumbnails(clips)
    assert [bool(small.jpeg) for small in found] == [True, True, False, True, False]
    assert found[2].problem == "the decoder was ended by signal 11"


@needs_ffmpeg
@pytest.mark.parametrize("codec", ["h264", "hevc", "mjpeg"])
def test_the_first_picture_of_a_file_becomes_a_small_jpeg(codec: str) -> None:
    [small] = export_pictures.thumbnails([read_clip(TYPES[made.suffix], made.data) for made in recording(codec)[:1]])
    assert (check(base64.b64decode(small.jpeg)), small.problem) == ((160, 120), "")


def test_a_picture_that_is_none_says_so() -> None:
    [small] = export_pictures.thumbnails([Clip("mjpeg", 8, 8, (), [Picture(0, True, [b"no picture"])])])
    assert small == ("", "it cannot be decoded")


@needs_ffmpeg
def test_a_picture_alone_is_no_film(tmp_path: Path) -> None:
    assert list(write_videos(tmp_path, files_of(tmp_path, [(jpeg(), 2)]))) == []
