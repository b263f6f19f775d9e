"""What is read in a picture, in its own process; and that no picture can do more than cost its own answer."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from cv2.typing import MatLike
from papers import code, desk, jpeg, text
from test_camera_look import h26x

from drivers import camera_read, picture_child
from drivers.camera_read import CODES_MAX, NO_OCR, NOTHING, Line, look_for, plates, read, rows
from drivers.packets import CameraError, Stream

MJPEG = Stream("mjpeg")
PASSPORT = ["P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<", "L898902C36UTO7408122F1204159ZE184226B<<<<<10"]
CARD = ["I<UTOD231458907<<<<<<<<<<<<<<<", "7408122F1204159UTO<<<<<<<<<<<6", "ERIKSSON<<ANNA<MARIA<<<<<<<<<<"]
ocr = pytest.mark.skipif(find_spec("rapidocr") is None, reason="no rapidocr here: pip install 'callbox[ocr]'")


def found(picture: MatLike) -> set[tuple[str, str]]:
    """(format, code) of all that is read in a picture, by the child."""
    return {(each["format"], each["code"]) for each in read(MJPEG, jpeg(picture), ["codes"])["codes"]}


@pytest.mark.parametrize(
    ("form", "name", "content", "more"),
    [
        ("QRCode", "qr", "票号 0042 白塔路", {}),
        ("QRCode", "qr", "票号 0042 白塔路", {"eci": "GB18030"}),
        ("EAN13", "ean13", "4006381333931", {}),
        ("PDF417", "pdf417", "TICKET 0042", {}),
        ("DataMatrix", "datamatrix", "TICKET 0042", {}),
        ("Aztec", "aztec", "TICKET 0042", {}),
        ("Code128", "code128", "TICKET 0042", {}),
    ],
    ids=["qr utf-8", "qr gbk", "ean13", "pdf417", "datamatrix", "aztec", "code128"],
)
def test_each_kind_of_code_is_read(form: str, name: str, content: str, more: dict[str, str]) -> None:
    assert found(desk(code(content, form, 4, **more))) == {(name, content)}


def test_bytes_without_a_word_about_them_are_read_as_chinese_tickets_are_printed() -> None:
    printed = code("票号".encode("gbk"), "QRCode")  # bytes: told as binary
    assert look_for(desk(printed), ["codes"])["codes"] == [{"format": "qr", "code": "票号"}]


def test_all_codes_of_a_picture_are_told_and_one_that_is_there_twice_once() -> None:
    papers = [code("one", "QRCode"), code("two", "DataMatrix", 6), code("one", "QRCode")]
    assert found(desk(*papers)) == {("qr", "one"), ("datamatrix", "two")}
    many = look_for(desk(*(code(str(number), "QRCode", 2) for number in range(CODES_MAX + 5)), width=3200), ["codes"])
    assert len(many["codes"]) == CODES_MAX


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_a_code_is_read_in_a_key_picture_of_any_codec(codec: str) -> None:
    data = h26x(codec, desk(code("TICKET 0042", "QRCode", 6)))
    told = read(Stream("h264" if codec == "h264" else "hevc"), data, ["codes"])
    assert told == {"codes": [{"format": "qr", "code": "TICKET 0042"}], "reason": ""}


def test_nothing_found_and_a_picture_that_cannot_be_decoded_have_their_reasons() -> None:
    assert read(MJPEG, jpeg(desk()), ["codes"]) == {"codes": [], "reason": NOTHING}
    assert read(MJPEG, b"\xff\xd8\xff\xd9", ["codes"]) == {"codes": [], "reason": "the picture cannot be decoded"}


# ---- text


def test_without_the_extra_that_is_the_reason_and_codes_are_told_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    told = look_for(desk(code("one", "QRCode")), ["codes", "mrz", "plate"])
    assert told == {"codes": [{"format": "qr", "code": "one"}], "reason": NO_OCR}
    assert look_for(desk(), ["mrz"]) == {"codes": [], "reason": NO_OCR}


@ocr
@pytest.mark.parametrize(("lines", "layout"), [(PASSPORT, "td3"), (CARD, "td1")], ids=["passport", "card"])
def test_a_document_is_read_and_its_holder_is_not_told(lines: list[str], layout: str) -> None:
    told = read(MJPEG, jpeg(desk(text(lines))), ["mrz"])
    number = "L898902C3" if layout == "td3" else "D23145890"
    zone = {"layout": layout, "type": lines[0][0], "issuer": "UTO", "number": number, "expires": "2012-04-15"}
    assert told == {"codes": [{"format": layout, "document": {**zone, "wrong": []}}], "reason": ""}


@ocr
def test_a_plate_is_read_as_a_candidate_with_its_confidence() -> None:
    [told] = read(MJPEG, jpeg(desk(text(["AB 123 CD"], 500, 2.0))), ["plate"])["codes"]
    assert (told["code"], told["format"]) == ("AB123CD", "plate")
    assert 0.5 < told["confidence"] <= 1


def test_parts_of_a_row_are_joined_from_left_to_right() -> None:
    parts = [
        (101.0, 120.0, 300.0, Line("<<<10", 0.7)),
        (100.0, 121.0, 10.0, Line("L898902C36", 0.9)),
        (40.0, 60.0, 10.0, Line("P<UTO", 0.8)),
    ]
    assert rows(parts) == [Line("P<UTO", 0.8), Line("L898902C36<<<10", 0.7)]
    assert rows([]) == []


@pytest.mark.parametrize(
    ("line", "plate"),
    [
        ("京A·12345", "京A12345"),
        ("粤B D12345", "粤BD12345"),  # new energy: six
        ("苏E1234学", "苏E1234学"),
        ("ab-123-cd", "AB123CD"),
        ("B AB 1234", "BAB1234"),
        ("PASSPORT", None),
        ("12345", None),
        ("TOTAL 4", None),
        ("L898902C36UTO7408122F", None),
        ("京A123", None),
    ],
)
def test_what_looks_like_a_plate_is_one(line: str, plate: str | None) -> None:
    told = plates([Line(line, 0.91234)])
    assert told == ([{"code": plate, "format": "plate", "confidence": 0.912}] if plate else [])


def test_of_several_plates_those_of_chinese_form_come_first_and_then_the_more_certain() -> None:
    lines = [Line("AB123CD", 0.9), Line("XY987ZZ", 0.95), Line("京A12345", 0.6), Line("CD111EF", 0.5)]
    assert [each["code"] for each in plates(lines)] == ["京A12345", "XY987ZZ", "AB123CD"]


# ---- limits


def fake(monkeypatch: pytest.MonkeyPatch, directory: Path, body: str) -> None:
    """In place of the child's Python."""
    script = directory / "child"
    script.write_text(f"#!/bin/sh\n{body}\n", encoding="ascii")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))


def test_a_child_that_hangs_is_killed_and_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake(monkeypatch, tmp_path, f"echo $$ >{tmp_path}/pid; trap '' TERM; exec tail -f /dev/null")
    monkeypatch.setattr(camera_read, "LIMITS", replace(camera_read.LIMITS, wait_s=0.5))
    with pytest.raises(CameraError, match=r"it took longer than 0\.5 s"):
        read(MJPEG, b"", ["codes"])
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("kill -SEGV $$", r"crashed, or was ended by its limits \(signal 11\)"),
        ("exit 1", r"failed, perhaps for want of memory \(exit 1\)"),
        ("echo garbage", r"failed, perhaps for want of memory \(exit 0\)"),
    ],
)
def test_a_child_that_crashes_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, body: str, reason: str) -> None:
    fake(monkeypatch, tmp_path, body)
    with pytest.raises(CameraError, match=reason):
        read(MJPEG, b"", ["codes"])


def test_a_picture_that_wants_more_memory_than_there_is_costs_its_own_answer() -> None:
    plain = jpeg(desk(width=64, height=64))
    at = plain.index(b"\xff\xc0")
    bomb = plain[: at + 5] + b"\xff\xff\xff\xff" + plain[at + 9 :]  # 65,535 x 65,535 pixels: 12.9 GB
    assert read(MJPEG, bomb, ["codes"]) == {"codes": [], "reason": "the picture cannot be decoded"}


@pytest.mark.parametrize(
    ("work", "reason"),
    [("while True: pass", (-9, -24)), ("return len(bytearray(2 << 30))", (1,))],
    ids=["computes for ever", "fills the memory"],
)
def test_the_limits_of_a_child_hold_whatever_a_library_does(work: str, reason: tuple[int, ...]) -> None:
    program = f"from drivers import picture_child\ndef work(*_):\n    {work}\npicture_child.serve(work)\n"
    asked: dict[str, Any] = {"codec": "mjpeg", "cpu_s": 1, "memory_bytes": 1 << 30, "what": []}
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps(asked).encode() + b"\n",
        check=False,
        capture_output=True,
        timeout=30,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode in reason  # SIGKILL or SIGXCPU; MemoryError


def test_what_a_library_prints_is_no_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    module = tmp_path / "drivers_loud.py"
    module.write_text(
        "import os\nfrom drivers import picture_child\n"
        "def work(*_):\n    print('loud')\n    os.write(1, b'louder')\n    return 'said'\n"
        "picture_child.serve(work)\n",
        encoding="ascii",
    )
    fake(monkeypatch, tmp_path, f"exec {sys.executable} {module}")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    assert picture_child.ask("camera_read", camera_read.LIMITS, MJPEG, b"") == "said"
