"""What is in a file of evidence, told by a process of its own; and what becomes of hostile ones: nothing."""

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Coroutine
from pathlib import Path
from shutil import which
from typing import Any, TypeVar

import pyrage
import pytest
from clips import ENCODERS, FFMPEG, Stored, gops, jpeg, key_picture, needs_ffmpeg, stored

from simulators.central import eye, looker
from simulators.central.evidence import File
from simulators.central.eye import LookError
from simulators.central.looker import Look, Looker, read_identities
from simulators.cli import main

pytestmark = [pytest.mark.real, needs_ffmpeg]
T = TypeVar("T")
JPEG = b"\xff\xd8\xff"


def file_of(file: Stored, **more: Any) -> File:
    entry = {**file.entry, **more}
    named = entry["sha256"], entry["plain_sha256"], entry["bytes"], entry["media_type"], entry["from"], entry["to"]
    return File(*named, key_frame=False, encrypted="encrypted" in entry)


def looked(tmp_path: Path, *files: Stored, identities: tuple[str, ...] = (), **more: Any) -> list[Look | str]:
    """What one looker says of each: its pictures, or why there are none."""

    async def one(eyes: Looker, file: Stored) -> Look | str:
        path = tmp_path / file.sha256
        path.write_bytes(file.data)
        try:
            return await eyes.look(path, file_of(file, **more))
        except LookError as error:
            return str(error)

    async def all_of_them() -> list[Look | str]:
        eyes = Looker(identities)
        try:
            return [await one(eyes, file) for file in files]
        finally:
            await eyes.close()

    return run(all_of_them())


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def pictures(found: Look | str) -> Look:
    assert isinstance(found, Look), found
    return found


@pytest.mark.parametrize("codec", sorted(ENCODERS))
def test_each_picture_of_a_file_comes_out_at_its_time(tmp_path: Path, codec: str) -> None:
    look = pictures(*looked(tmp_path, stored(gops(codec, 2)[1], ENCODERS[codec][0])))
    assert look.at_s == pytest.approx([number / 10 for number in range(10)], abs=0.002)
    assert len(set(look.jpegs)) == 10 and all(one.startswith(JPEG) for one in look.jpegs)
    assert look.thumb.startswith(JPEG) and len(look.thumb) < len(look.jpegs[0])


def test_a_picture_alone_comes_out(tmp_path: Path) -> None:
    alone, in_a_stream = looked(tmp_path, key_picture(0.0), stored(gops("h264", 1)[0], "video/mp2t"))
    assert pictures(alone).at_s == [0.0] and pictures(in_a_stream).jpegs


def test_what_age_encrypts_is_opened_with_its_identity_alone(tmp_path: Path) -> None:
    if which("age") is None:
        pytest.skip("no age here: apt-get install age (make test does it)")
    mine, other = pyrage.x25519.Identity.generate(), pyrage.x25519.Identity.generate()
    to = str(mine.to_public())
    by_age = subprocess.run(["age", "-r", to], input=jpeg(), capture_output=True, check=True).stdout
    plain = hashlib.sha256(jpeg()).hexdigest()
    first = stored(by_age, "image/jpeg", plain_sha256=plain, encrypted="age")
    second = stored(gops("h264", 1)[0], "video/mp2t", recipient=to)
    assert all(isinstance(found, Look) for found in looked(tmp_path, first, second, identities=(str(other), str(mine))))
    assert looked(tmp_path, first, second, identities=(str(other),)) == ["locked", "locked"]
    assert looked(tmp_path, first, second) == ["locked", "locked"]


def test_pictures_that_are_not_what_the_box_signed_are_not_shown(tmp_path: Path) -> None:
    assert looked(tmp_path, key_picture(0.0), plain_sha256="0" * 64) == ["plain"]


PLAYLIST = b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"


@pytest.mark.parametrize("kind", ["video/mp2t", "video/x-msvideo", "image/jpeg", "image/svg+xml", "text/html", ""])
@pytest.mark.parametrize(
    "data",
    [
        b"x",
        os.urandom(20_000),
        PLAYLIST,
        b"G" + PLAYLIST,
        b"G" * 20_000,
        b"RIFF\0\0\0\0AVI " + bytes(5000),
        JPEG + bytes(5000),
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    ],
)
def test_what_is_no_picture_is_told_so(data: bytes, kind: str, tmp_path: Path) -> None:
    assert looked(tmp_path, stored(data, kind)) == ["broken"]


def test_only_what_a_camera_speaks_is_opened(tmp_path: Path) -> None:
    """Of all that the library knows, playlists and their like among it; so it is even if our own look was wrong."""
    call = [str(FFMPEG), "-v", "error", "-f", "lavfi", "-i", "testsrc=size=320x180", "-frames:v", "1"]
    subprocess.run([*call, "-c:v", "mjpeg", str(tmp_path / "a.mkv")], check=True, stdin=subprocess.DEVNULL)
    code = f"import cv2; print(cv2.VideoCapture({str(tmp_path / 'a.mkv')!r}, cv2.CAP_FFMPEG).isOpened())"
    for environment, opened in (({}, "True"), (eye.ENVIRONMENT, "False")):
        done = subprocess.run(
            [sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == opened


def test_a_picture_that_says_it_is_vast_is_not_unpacked(tmp_path: Path) -> None:
    at = jpeg().index(b"\xff\xc0")
    vast = jpeg()[: at + 5] + b"\xff\xff\xff\xff" + jpeg()[at + 9 :]  # height and width, 65535 each
    assert looked(tmp_path, stored(vast, "image/jpeg")) == ["broken"]


def test_a_file_that_is_not_there_is_told_so(tmp_path: Path) -> None:
    async def missing() -> None:
        eyes = Looker()
        with pytest.raises(LookError, match="gone"):
            await eyes.look(tmp_path / "none", file_of(key_picture(0.0)))
        await eyes.close()

    run(missing())


def test_a_process_that_dies_costs_one_file(tmp_path: Path) -> None:
    files = [stored(data, "video/mp2t") for data in gops("h264", 3)]

    async def all_of_them() -> None:
        eyes = Looker()
        for file in files:
            (tmp_path / file.sha256).write_bytes(file.data)
        await eyes.look(tmp_path / files[0].sha256, file_of(files[0]))
        assert eyes._process is not None
        eyes._process.send_signal(signal.SIGSTOP)  # it hangs in the middle of the second
        second = asyncio.create_task(eyes.look(tmp_path / files[1].sha256, file_of(files[1])))
        await asyncio.sleep(0)
        eyes._process.kill()
        with pytest.raises(LookError, match="broken"):
            await second
        assert (await eyes.look(tmp_path / files[2].sha256, file_of(files[2]))).jpegs
        assert (await eyes.look(tmp_path / files[1].sha256, file_of(files[1]))).jpegs
        await eyes.close()

    run(all_of_them())


def test_a_process_that_takes_too_long_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = key_picture(0.0)
    (tmp_path / file.sha256).write_bytes(file.data)

    async def too_long() -> None:
        eyes = Looker()
        with monkeypatch.context() as patch:
            patch.setattr(looker, "DEADLINE_S", 0.0)
            with pytest.raises(LookError, match="broken"):
                await eyes.look(tmp_path / file.sha256, file_of(file))
        assert eyes._process is None
        assert (await eyes.look(tmp_path / file.sha256, file_of(file))).jpegs
        await eyes.close()

    run(too_long())


def test_more_pictures_than_are_allowed_in_one_file_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eye, "ANSWER_BYTES_MAX", 20_000)
    with pytest.raises(LookError, match="large"):
        eye.look(gops("mjpeg", 1)[0], "video/x-msvideo")


def test_only_so_many_pictures_stay_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looker, "KEPT_BYTES_MAX", 1)
    first = stored(gops("h264", 2)[0], "video/mp2t")
    assert all(isinstance(found, Look) for found in looked(tmp_path, first, key_picture(0.0), first))


def test_central_itself_decodes_nothing() -> None:
    code = "import sys, simulators.central.server, simulators.cli; print(*{'cv2', 'numpy'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_an_identity_file_is_read_as_age_keygen_writes_it(tmp_path: Path) -> None:
    identity, path = str(pyrage.x25519.Identity.generate()), tmp_path / "identity"
    path.write_text(f"# created: 2026-11-22T01:33:20Z\n# public key: age1...\n{identity}\n")
    assert read_identities(path) == [identity]


@pytest.mark.parametrize("text", ["", "# nothing but a comment\n", "AGE-SECRET-KEY-1WRONG\n", "age1ql3z7hjy54pw3\n"])
def test_a_file_that_is_no_identity_is_named_and_not_repeated(tmp_path: Path, text: str) -> None:
    path = tmp_path / "identity"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"identity.*AGE-SECRET-KEY-1\.\.\. is wanted") as refused:
        read_identities(path)
    assert "WRONG" not in str(refused.value) and "ql3z7" not in str(refused.value)


def test_a_central_with_no_good_identity_does_not_start_and_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ["central", "--broker", "mqtt://127.0.0.1:1", "--store", str(tmp_path / "central.db"), "--http", "0"]
    assert main([*call, "--identity", str(tmp_path / "none")]) == 1
    assert str(tmp_path / "none") in capsys.readouterr().err
