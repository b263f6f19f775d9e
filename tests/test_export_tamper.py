"""An export in which somebody changed something, or the disk did: every fault is found, and named."""

import ast
import json
import os
import random
import re
import shutil
import struct
import sys
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from clips import needs_ffmpeg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from evidence_case import KEY, Scene, exported, jpeg, recording, whole

from agent import verify_export
from agent.export_pictures import Thumbnail
from agent.identity import Ed25519Signer, b64

pytestmark = needs_ffmpeg
FLIPS = int(os.environ.get("CALLBOX_FLIPS", "120"))
"""`make soak` flips more."""
OTHER = Ed25519Signer(Ed25519PrivateKey.from_private_bytes(bytes(range(9, 41))))


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole export."""
    folder = tmp_path_factory.mktemp("good")
    assert exported(whole(folder / "box"), folder / "out")[0] == 0
    return folder / "out"


@pytest.fixture
def out(good: Path, tmp_path: Path) -> Path:
    """A copy of it to be changed."""
    return Path(shutil.copytree(good, tmp_path / "out"))


def found(out: Path, key: str | None = KEY) -> list[str]:
    return verify_export.Check(out, key).faults


# ---- what a change needs


def lines(out: Path) -> list[bytes]:
    return (out / "events.jsonl").read_bytes().splitlines()


def put_lines(out: Path, bodies: list[bytes]) -> None:
    """Also in the manifest, as somebody would who means to deceive."""
    data = b"".join(body + b"\n" for body in bodies)
    (out / "events.jsonl").write_bytes(data)
    put_manifest(out, lambda manifest: manifest["events"].update(sha256=sha256(data).hexdigest(), count=len(bodies)))


def put_manifest(out: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """A change of the manifest, with its own hash made anew."""
    manifest = json.loads((out / "manifest.json").read_bytes())
    change(manifest)
    manifest["sha256"] = sha256(rfc8785.dumps({k: v for k, v in manifest.items() if k != "sha256"})).hexdigest()
    (out / "manifest.json").write_text(json.dumps(manifest))


def index(out: Path, type: str, number: int = 0) -> int:
    """Where the n-th event of a type stands."""
    return [at for at, body in enumerate(lines(out)) if json.loads(body)["type"] == f"callbox.{type}"][number]


def resealed(body: bytes, signer: Ed25519Signer | None, **changes: Any) -> bytes:
    """An event with changes, signed by another key; or with the old signature."""
    event = {**json.loads(body), **changes}
    if signer:
        del event["sig"]
        event["sig"] = b64(signer.sign(rfc8785.dumps(event)))
    return rfc8785.dumps(event)


def evidence(out: Path) -> list[Path]:
    return sorted((out / "files").iterdir())


def flip(path: Path, at: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1 << bit
    path.write_bytes(data)


# ---- every way


def drop(type: str, number: int = 0) -> Callable[[Path], None]:
    def change(out: Path) -> None:
        at = index(out, type, number)
        put_lines(out, [body for place, body in enumerate(lines(out)) if place != at])

    return change


def rewrite(type: str, change: Callable[[dict[str, Any]], dict[str, Any]], signer: Any) -> Callable[[Path], None]:
    def rewritten(out: Path) -> None:
        bodies, at = lines(out), index(out, type)
        bodies[at] = resealed(bodies[at], signer, **change(json.loads(bodies[at])))
        put_lines(out, bodies)

    return rewritten


def all_by_another_key(out: Path) -> None:
    """Every event signed anew and chained anew: only the box's own key tells it."""
    bodies: list[bytes] = []
    for body in lines(out):
        changes = {"prevhash": b64(sha256(bodies[-1]).digest())} if bodies else {}
        bodies.append(resealed(body, OTHER, **changes))
    put_lines(out, bodies)
    put_manifest(out, lambda manifest: manifest.update(key=b64(OTHER.public)))


def reorder(out: Path) -> None:
    bodies = lines(out)
    bodies[3], bodies[4] = bodies[4], bodies[3]
    put_lines(out, bodies)


def twice(out: Path) -> None:
    put_lines(out, [*lines(out)[:4], *lines(out)[3:]])


def spaced(out: Path) -> None:
    put_lines(out, [lines(out)[0].replace(b":", b": ", 1), *lines(out)[1:]])


def swap(out: Path) -> None:
    one, two, *_ = evidence(out)
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)


def remove_a_camera(out: Path) -> None:
    for path in (out / "files").glob("front-*"):
        path.unlink()
    (out / "front.mp4").unlink()

    def without(manifest: dict[str, Any]) -> None:
        for name in ("files", "videos", "cameras"):
            manifest[name] = [entry for entry in manifest[name] if entry["camera"] != "front"]
        del manifest["made"]["front.mp4"]

    put_manifest(out, without)


def fake_last(event: dict[str, Any]) -> dict[str, Any]:
    return {"data": event["data"] | {"last": True}}


def entry(change: dict[str, Any]) -> Callable[[Path], None]:
    return lambda out: put_manifest(out, lambda manifest: manifest["files"][0].update(change))


def another_time(_: dict[str, Any]) -> dict[str, Any]:
    return {"time": "2026-11-22T01:30:00.000000Z"}


def cut_the_end(out: Path) -> None:
    """With the last event of a clip gone, and everything that leads to it."""
    put_lines(out, lines(out)[: index(out, "status.evidence", 4)])
    named = {f["sha256"] for body in lines(out) for f in json.loads(body)["data"].get("files", [])}
    gone = [e for e in json.loads((out / "manifest.json").read_bytes())["files"] if e["sha256"] not in named]
    for one in gone:
        (out / one["name"]).unlink()
    put_manifest(out, lambda m: m.update(files=[e for e in m["files"] if e["sha256"] in named]))


def on(number: int, change: Callable[[Path], object]) -> Callable[[Path], object]:
    """A change of the n-th file of evidence."""
    return lambda out: change(evidence(out)[number])


TAMPERED: dict[str, tuple[Callable[[Path], object], str]] = {
    "a bit of a file": (on(0, lambda path: flip(path, 0)), "files/front-.* was changed"),
    "a bit inside of a file": (on(5, lambda path: flip(path, path.stat().st_size // 2)), "files/side-.* was changed"),
    "the last bit of a file": (on(3, lambda path: flip(path, -1, 7)), "files/front-.* was changed"),
    "a file cut": (on(1, lambda path: path.write_bytes(path.read_bytes()[:-188])), "files/front-.* was changed"),
    "a file emptied": (on(1, lambda path: path.write_bytes(b"")), "files/front-.* was changed"),
    "a file longer": (on(1, lambda path: path.write_bytes(path.read_bytes() + b"\0")), "files/front-.* was changed"),
    "a file gone": (on(2, Path.unlink), "files/front-.* is not there"),
    "two files swapped": (swap, "files/front-.* was changed"),
    "a file more": (lambda out: (out / "files/more.ts").write_bytes(b"more"), "files/more.ts: is named nowhere"),
    "the press dropped": (drop("alarm.panic"), "the first event of the case is not in it"),
    "an event of evidence dropped": (drop("status.evidence", 1), "boxseq 5 to 5, before it, are missing"),
    "an event of another matter dropped": (drop("scan.code", 1), "boxseq 7 to 7, before it, are missing"),
    "the event before the press dropped": (drop("scan.code"), "boxseq 2 to 2, before it, are missing"),
    "an event twice": (twice, "out of order, or twice"),
    "events reordered": (reorder, "out of order, or twice"),
    "a time changed": (rewrite("alarm.panic", another_time, None), r"boxseq 3, callbox.alarm.panic.*\(signature\)"),
    "a time changed and signed by another": (rewrite("alarm.panic", another_time, OTHER), r"boxseq 3,.*\(signature\)"),
    "what follows a change": (rewrite("alarm.panic", another_time, OTHER), r"boxseq 4,.*\(prevhash\)"),
    "a faked last": (rewrite("status.evidence", fake_last, None), r"boxseq 4,.*\(signature\)"),
    "all signed by another key": (all_by_another_key, "names the key .*; the given one is"),
    "the end cut off": (cut_the_end, 'camera side: its newest event has no "last"'),
    "a space in an event": (spaced, "not canonical"),
    "no event": (lambda out: put_lines(out, [*lines(out), b"[]"]), "line 13: is no event"),
    "events gone": (lambda out: (out / "events.jsonl").unlink(), "read_events could not go on"),
    "a line cut": (lambda out: flip(out / "events.jsonl", -1), "is not the file of the manifest"),
    "a camera removed": (remove_a_camera, "a file of an event is not in it \\(camera front"),
    "a manifest changed": (lambda out: flip(out / "manifest.json", 40), "manifest"),
    "a manifest gone": (lambda out: (out / "manifest.json").unlink(), "read_manifest could not go on"),
    "an entry's time": (entry({"from": "2026-11-22T01:30:00Z"}), "no event says this of it"),
    "an entry's camera": (entry({"camera": "rear"}), "no event says this of it"),
    "an entry's event": (entry({"boxseq": 6}), "no event says this of it"),
    "an entry's hash": (entry({"plain_sha256": "0" * 64}), "no event says this of it"),
    "an entry's name": (entry({"name": "manifest.json"}), "manifest.json was changed"),
    "an entry twice": (lambda out: put_manifest(out, lambda m: m["files"].append(m["files"][0])), "stands here twice"),
    "an entry said to be missing": (entry({"state": "missing"}), "is missing"),
    "another case": (lambda out: put_manifest(out, lambda m: m.update(case="0" * 36)), "the first event of the case"),
    "another box": (lambda out: put_manifest(out, lambda m: m.update(source="/callbox/a/b")), "of another box"),
    "no key": (lambda out: put_manifest(out, lambda m: m.update(key=b64(OTHER.public))), "the given one is"),
    "the page changed": (lambda out: flip(out / "index.html", 900), "index.html was changed"),
    "a film changed": (lambda out: flip(out / "front.mp4", 900), "front.mp4 was changed"),
    "a film gone": (lambda out: (out / "side.mp4").unlink(), "side.mp4 is not there"),
}  # fmt: skip


@pytest.mark.parametrize("way", TAMPERED)
def test_a_change_is_found_and_named(out: Path, way: str) -> None:
    change, words = TAMPERED[way]
    change(out)
    faults = found(out)
    assert any(re.search(words, fault) for fault in faults), faults


def test_an_export_that_nobody_touched_is_whole_with_and_without_the_key(good: Path) -> None:
    assert found(good) == found(good, None) == []


def test_the_verifier_says_first_what_is_wrong_first_and_ends_with_one(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flip(evidence(out)[0], 100)
    assert verify_export.main([str(out), "--key", KEY]) == 1
    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith(f"FAULT  files/{evidence(out)[0].name} (camera front, event ")
    assert last.startswith("NOT WHOLE, faults: 1. 12 events, 11 files")
    assert verify_export.main([str(out.parent), "--key", KEY]) == 1


# ---- a bit anywhere


def test_a_flipped_bit_anywhere_in_an_export_is_found(good: Path, tmp_path: Path) -> None:
    """Each position by one seed; the folder is small, so that whole checks are quick."""
    rng = random.Random(20)
    paths = [path for path in sorted(good.rglob("*")) if path.is_file()]
    for number in range(FLIPS):
        path = paths[number % len(paths)]
        at, bit = rng.randrange(path.stat().st_size), rng.randrange(8)
        flip(path, at, bit)
        try:
            assert found(good), f"bit {bit} of byte {at} of {path}"
        finally:
            flip(path, at, bit)
    assert found(good) == []


def small(folder: Path) -> Scene:
    """A case of two files that ends with its events."""
    scene = Scene(folder)
    scene.press()
    scene.evidence("front", 1, [scene.store(recording("h264")[0], -0.5), scene.store(jpeg(), 0)], last=True)
    scene.about("closed", 9)
    scene.write()
    return scene


def test_a_flipped_bit_anywhere_in_an_event_or_a_stored_file_is_found_by_the_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures are not looked at here: that is another process, a few hundred times."""
    monkeypatch.setattr("agent.export.thumbnails", lambda clips: [Thumbnail("") for _ in clips])
    scene = small(tmp_path / "box")
    assert exported(scene, tmp_path / "out")[0] == 0
    rng = random.Random(21)
    paths = [scene.folder / "events.jsonl", *sorted(scene.media.iterdir())]
    for number in range(FLIPS):
        path = paths[0] if number % 2 else paths[1 + number // 2 % 2]
        at, bit = rng.randrange(path.stat().st_size), rng.randrange(8)
        flip(path, at, bit)
        out = tmp_path / f"out-{number}"
        try:
            code, manifest = exported(scene, out)
            assert code == 1, f"bit {bit} of byte {at} of {path}"
            assert manifest["faults"] or any("problem" in one for one in manifest["files"])
            assert found(out), "and the verifier finds it in what was exported"
        finally:
            flip(path, at, bit)
        shutil.rmtree(out)


# ---- written apart


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)


def test_the_verifier_is_short_and_needs_python_and_cryptography_alone() -> None:
    path = Path(verify_export.__file__)
    foreign = {name.partition(".")[0] for name in imported(path)} - set(sys.stdlib_module_names)
    assert foreign == {"cryptography"}
    assert len(path.read_text(encoding="utf-8").splitlines()) < 200


def test_its_own_canonical_json_writes_numbers_as_everybody_does() -> None:
    rng = random.Random(8)
    values = [0.0, -0.0, 1.0, -1.5, 1e21, 1e20, 1e-6, 1e-7, 5e-324, 1.7976931348623157e308, 333333333.33333329, 12]
    values += [rng.uniform(-1e3, 1e3) * 10.0 ** rng.randint(-12, 25) for _ in range(2000)]
    values += [value for [value] in struct.iter_unpack("<d", rng.randbytes(8000)) if value - value == 0]
    assert [verify_export.canonical(value).encode() for value in values] == [rfc8785.dumps(value) for value in values]
    message: Any = {"\u20ac": 1, "\r": [None, True, '票\x07"\\'], "\ufb33": {}, "\U0001f600": -0.5}
    assert verify_export.canonical(message).encode() == rfc8785.dumps(message)
