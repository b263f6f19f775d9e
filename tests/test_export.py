"""`callbox export`: what is in the folder, what is wrong with the files of a case, and what is refused."""

import json
import shutil
import subprocess
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from shutil import which
from typing import Any

import pyrage
import pytest
from clips import needs_ffmpeg
from evidence_case import CASE, KEY, Made, Scene, exported, faults, jpeg, recording, verified, whole

from agent.cli import main

pytestmark = needs_ffmpeg
IDENTITY = pyrage.x25519.Identity.from_str("AGE-SECRET-KEY-1JWMG3TRHTXCT589MC8RTUW5FHP60MXS3NKCARKLHUZYS09J40R3SL07GDP")


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return whole(tmp_path / "box")


@pytest.fixture
def sealed(tmp_path: Path) -> Scene:
    return whole(tmp_path / "box", [IDENTITY.to_public()])


@pytest.fixture
def identity(tmp_path: Path) -> Path:
    path = tmp_path / "identity.txt"
    path.write_text(f"# created by hand\n# public key: {IDENTITY.to_public()}\n{IDENTITY}\n")
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


# ---- a whole case


def test_an_export_has_the_signed_events_the_plain_files_the_films_the_page_and_the_verifier(
    sealed: Scene, identity: Path, out: Path
) -> None:
    code, manifest = exported(sealed, out, "--identity", str(identity))
    assert (code, faults(manifest)) == (0, [])
    assert sorted(path.name for path in out.iterdir()) == [
        *("events.jsonl", "files", "front.mp4", "index.html", "manifest.json", "side.mp4", "verify.py")
    ]
    plain = {sha256(path.read_bytes()).hexdigest() for path in (out / "files").iterdir()}
    made = [*(made for number, made in enumerate(recording("h264")) if number != 3), *recording("mjpeg"), jpeg()]
    assert plain == {sha256(one.data).hexdigest() for one in made} == {f["plain_sha256"] for f in manifest["files"]}
    assert [seen["files"] for seen in manifest["cameras"]] == [4, len(recording("mjpeg")) + 1]
    assert verified(out) == (0, [])


def test_the_events_are_those_from_the_one_before_the_press_to_the_one_after_the_last_byte_for_byte(
    scene: Scene, out: Path
) -> None:
    exported(scene, out)
    bodies = [event.body for event in scene.events]
    assert (out / "events.jsonl").read_bytes().splitlines() == bodies[1:-1]


def test_pictures_are_counted_from_before_and_after_the_press(scene: Scene, out: Path) -> None:
    _, manifest = exported(scene, out)
    front, side = manifest["cameras"]
    times = [at - 2.1 for number, made in enumerate(recording("h264")) if number != 3 for at in made.times_s]
    assert (front["before"], front["after"]) == (sum(at < 0 for at in times), sum(at >= 0 for at in times))
    assert side["before"] + side["after"] == sum(len(made.times_s) for made in recording("mjpeg")) + 1


@pytest.mark.skipif(which("age") is None, reason="no age here: apt-get install age")
def test_debians_age_opens_the_same_files(sealed: Scene, identity: Path, out: Path) -> None:
    _, manifest = exported(sealed, out, "--identity", str(identity))
    for entry in manifest["files"]:
        command = ["age", "--decrypt", "--identity", str(identity), str(sealed.media / entry["sha256"])]
        assert subprocess.run(command, check=True, capture_output=True).stdout == (out / entry["name"]).read_bytes()


def test_a_case_is_named_by_the_beginning_of_its_id_or_by_any_event_of_it(scene: Scene, tmp_path: Path) -> None:
    for number, name in enumerate((CASE[:8], json.loads(scene.events[9].body)["id"])):
        events, media = str(scene.folder / "events.jsonl"), str(scene.media)
        place = str(tmp_path / f"out-{number}")
        assert main(["export", name, "--events", events, "--media", media, "--key", KEY, "--out", place]) == 0
        assert json.loads((tmp_path / f"out-{number}/manifest.json").read_text())["case"] == CASE


def test_a_case_without_files_is_exported_too(tmp_path: Path, out: Path) -> None:
    scene = Scene(tmp_path / "box")
    scene.press()
    scene.write()
    code, manifest = exported(scene, out)
    assert (code, manifest["files"], manifest["events"]["count"]) == (0, [], 1)
    assert verified(out) == (0, [])


def test_json_is_the_manifest(scene: Scene, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, manifest = exported(scene, out, "--json")
    assert json.loads(capsys.readouterr().out) == manifest


# ---- what is wrong with a case


def the_file(scene: Scene, number: int) -> Path:
    """The stored file that the n-th event of evidence names first."""
    named = [json.loads(event.body)["data"].get("files") for event in scene.events]
    return scene.media / str([files for files in named if files][number][0]["sha256"])


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def other_bytes(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def in_parts(path: Path) -> None:
    path.rename(path.with_name(f"jiangyang.kiosk-017.{path.name}.part"))


@pytest.mark.parametrize(
    ("damage", "state", "fault", "kept"),
    [
        (Path.unlink, "missing", "missing_file", False),
        (in_parts, "missing", "partial", True),
        (cut, "damaged", "size", True),
        (other_bytes, "damaged", "sha256", True),
    ],
)
def test_a_file_that_is_not_what_was_signed_is_named_and_the_rest_is_exported(
    scene: Scene, out: Path, damage: Callable[[Path], None], state: str, fault: str, kept: bool
) -> None:
    damage(the_file(scene, 1))
    code, manifest = exported(scene, out)
    assert (code, faults(manifest)) == (1, [fault])
    [entry] = [entry for entry in manifest["files"] if "problem" in entry]
    assert (entry["state"], "stored" in entry, "name" in entry) == (state, kept, False)
    assert len(list((out / "files").iterdir())) == len(manifest["files"]) - 1
    page = (out / "index.html").read_text()
    assert entry["problem"]["text"] in page and entry["sha256"] in page and 'class="verdict bad"' in page
    code, lines = verified(out)
    assert code == 1 and len(lines) == 1 and entry["sha256"] in lines[0] and entry["problem"]["text"] in lines[0]


def test_without_the_identity_files_stay_sealed_and_are_kept_as_they_are(sealed: Scene, out: Path) -> None:
    code, manifest = exported(sealed, out)
    assert code == 1 and set(faults(manifest)) == {"no_identity"}
    assert {entry["state"] for entry in manifest["files"]} == {"sealed"}
    assert {path.name for path in (out / "stored").iterdir()} == {path.name for path in sealed.media.iterdir()}
    assert len(verified(out)[1]) == len(manifest["files"])


def test_a_foreign_identity_opens_nothing_and_the_case_is_exported(sealed: Scene, out: Path, identity: Path) -> None:
    identity.write_text(str(pyrage.x25519.Identity.generate()))
    code, manifest = exported(sealed, out, "--identity", str(identity))
    assert code == 1 and set(faults(manifest)) == {"decrypt"}


def test_a_box_that_signed_another_plain_hash_is_found_out(tmp_path: Path, out: Path, identity: Path) -> None:
    scene = Scene(tmp_path / "box", [IDENTITY.to_public()])
    scene.press()
    said = scene.store(jpeg(), 0)
    scene.evidence("front", 1, [said | {"plain_sha256": "0" * 64}], last=True)
    scene.write()
    assert faults(exported(scene, out, "--identity", str(identity))[1]) == ["plain_sha256"]


def test_a_file_that_is_as_signed_and_no_film_is_named_and_kept(tmp_path: Path, out: Path) -> None:
    scene = Scene(tmp_path / "box")
    scene.press()
    scene.evidence("front", 1, [scene.store(Made("ts", b"no film", (0.0,)), 0)], last=True)
    scene.evidence("side", 1, [scene.store(Made("jpg", jpeg().data, (0.0, 9.0)), 0)], last=True)
    scene.evidence("rear", 1, [scene.store(Made("jpg", bytes.fromhex(BAD_JPEG), (0.0,)), 0)], last=True)
    scene.evidence("yard", 1, [scene.store(Made("jpg", jpeg().data[:700], (0.0,)), 0)], last=True)
    scene.write()
    code, manifest = exported(scene, out)
    assert (code, faults(manifest)) == (1, ["clip", "picture", "times", "clip"])
    assert {entry["state"] for entry in manifest["files"]} == {"ok"}
    assert len(list((out / "files").iterdir())) == 4


BAD_JPEG = "ffd8 ffc0 0011 08 0018 0020 03 01 22 00 02 11 01 03 11 01 ffda 0008 01 01 00 00 3f 00 3f ffd9"
"""Whole, and without the tables to decode it by."""


def test_a_clip_that_has_not_come_to_its_end_is_named(tmp_path: Path, out: Path) -> None:
    scene = Scene(tmp_path / "box")
    scene.press()
    scene.evidence("front", 1, [scene.store(jpeg(), 0)])
    scene.write()
    code, manifest = exported(scene, out)
    assert (code, faults(manifest)) == (1, ["no_last"])
    assert "front" in verified(out)[1][0]


@pytest.mark.parametrize(
    "said", ["all", 7, {"camera": 5}, {"files": {}}, {"files": [7]}, {"files": [{"sha256": "../a"}]}]
)
def test_evidence_of_another_shape_is_named_and_stops_nothing(tmp_path: Path, out: Path, said: Any) -> None:
    scene = Scene(tmp_path / "box")
    scene.press()
    more: dict[str, Any] = {"camera": "front", "files": []} | (said if isinstance(said, dict) else {"files": said})
    scene.record("status.evidence", 1, {"case": CASE, **more, "last": True})
    scene.evidence("side", 2, [scene.store(jpeg(), 0)], last=True)
    scene.write()
    code, manifest = exported(scene, out)
    assert (code, faults(manifest), len(manifest["files"])) == (1, ["evidence"], 1)


def test_a_camera_with_a_name_that_is_a_path_writes_nowhere_else(tmp_path: Path, out: Path) -> None:
    scene = Scene(tmp_path / "box")
    scene.press()
    scene.evidence("../../evil", 1, [scene.store(made, 0) for made in recording("h264")[:2]], last=True)
    scene.write()
    assert exported(scene, out)[0] == 0
    assert {path.name for path in tmp_path.iterdir()} == {"box", "out"}
    assert (out / "evil.mp4").exists()


# ---- refusals


def refused(scene: Scene, out: Path, capsys: pytest.CaptureFixture[str], **other: str) -> str:
    """The words of a call that exports nothing."""
    events, media = str(scene.folder / "events.jsonl"), str(scene.media)
    options = {"--events": events, "--media": media, "--key": KEY, "--out": str(out)} | {
        f"--{name}": value for name, value in other.items() if name != "case"
    }
    call = ["export", other.get("case", CASE), *(word for option in options.items() for word in option)]
    assert main(call) == 1
    return capsys.readouterr().err


def test_what_cannot_be_exported_says_why_and_what_to_do(
    scene: Scene, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "no event 'ffffffff'" in refused(scene, out, capsys, case="ffffffff")
    assert "8 characters and more" in refused(scene, out, capsys, case=CASE[:7])
    assert "No such file" in refused(scene, out, capsys, events=str(tmp_path / "none"))
    assert "no folder" in refused(scene, out, capsys, media=str(tmp_path / "none"))
    assert "age-keygen" in refused(scene, out, capsys, identity=str(scene.folder / "events.jsonl"))
    assert "callbox keygen" in refused(scene, out, capsys, key="short")
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"SQLite format 3\0" + bytes(200))
    assert "journal.db" in refused(scene, out, capsys, events=str(broken))
    assert not out.exists()
    out.mkdir()
    assert f"{out} exists" in refused(scene, out, capsys)


def test_two_cases_with_one_beginning_are_told_apart(
    scene: Scene, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    second = CASE[:-1] + "2"
    scene.record("alarm.panic", 20, {"transition": "raised", "input": "b", "case": second, "count": 1}, id=second)
    scene.write()
    words = refused(scene, out, capsys, case=CASE[:8])
    assert CASE in words and second in words


def test_a_full_disk_says_that_the_export_is_not_whole(
    scene: Scene, out: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", str(out / "verify.py"))

    monkeypatch.setattr(shutil, "copyfile", full)
    words = refused(scene, out, capsys)
    assert "No space left" in words and "not whole" in words
