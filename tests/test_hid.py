"""The scanner that is a keyboard: its parser on events, the driver on a pipe that is given out for a device."""

import errno
import fcntl
import os
import re
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from driver_host import RecordingHost, descriptors, running, until
from fuzz_targets import TARGETS
from hypothesis import given, settings
from hypothesis import strategies as st
from test_mrz import TD3
from test_scanner import ERIKSSON, codes, papers

from drivers.contract import Code, Driver, Health, Paper
from drivers.hid import (
    ALT,
    CAPS_LOCK,
    CTRL,
    ENTER,
    EVIOCGRAB,
    KEYPAD,
    PLAIN,
    SHIFT,
    SHIFTED,
    HidDriver,
    HidOptions,
    Keys,
)
from drivers.scans import CODE_BYTES_MAX, HALF_S, Encoding, ScanInput
from simulators.line import unescape

DESK = {"desk": ScanInput()}
TIMES = bytes(16)
GOLDEN = [
    [cell.strip() for cell in line.split("|")]
    for line in (Path(__file__).parent / "golden/hid.txt").read_text(encoding="utf-8").splitlines()
    if line.count("|") == 1 and not line.startswith("type")
]
SHIFT_KEY, ALT_KEY, ENTER_KEY = 42, 56, 28
DIGITS = dict(zip("7894561230", (71, 72, 73, 75, 76, 77, 79, 80, 81, 82), strict=True))


def keys(encoding: Encoding = "auto") -> Keys:
    return Keys(DESK, HidOptions("/dev/null", encoding))


def event(code: int, value: int, kind: int = 1) -> bytes:
    return TIMES + struct.pack("<HHi", kind, code, value)


def stroke(code: int) -> bytes:
    return event(code, 1) + event(0, 0, 0) + event(code, 0) + event(0, 0, 0)


def typed(text: str) -> bytes:
    """As a US keyboard types it, Enter at the end."""
    plain, shifted = ({char: code for code, char in table.items() if code < 71} for table in (PLAIN, SHIFTED))
    strokes = [
        stroke(plain[char]) if char in plain else event(SHIFT_KEY, 1) + stroke(shifted[char]) + event(SHIFT_KEY, 0)
        for char in text
    ]
    return b"".join(strokes) + stroke(ENTER_KEY)


def alt(number: str) -> bytes:
    return event(ALT_KEY, 1) + b"".join(stroke(DIGITS[digit]) for digit in number) + event(ALT_KEY, 0)


@pytest.mark.parametrize(("in_hex", "words"), GOLDEN, ids=[row[1] for row in GOLDEN])
def test_the_events_of_the_kernel_are_read_as_its_headers_say(in_hex: str, words: str) -> None:
    board = keys()
    found = board.feed(b"".join(TIMES + bytes.fromhex(each) for each in in_hex.split()), 7.0)
    text = words.removesuffix(" noise")
    assert codes(found) == ([] if words == "nothing" else [unescape(text).decode()])
    assert board.take_noise() == words.endswith("noise")


def test_the_sheet_has_rows() -> None:
    assert len(GOLDEN) == 10


NAMES = {
    **{char: char for char in "1234567890"},
    **{char: char.upper() for char in "abcdefghijklmnopqrstuvwxyz"},
    "-": "MINUS",
    "=": "EQUAL",
    "\t": "TAB",
    "[": "LEFTBRACE",
    "]": "RIGHTBRACE",
    ";": "SEMICOLON",
    " ": "SPACE",
    "'": "APOSTROPHE",
    "`": "GRAVE",
    "\\": "BACKSLASH",
    ",": "COMMA",
    ".": "DOT",
    "/": "SLASH",
}


def test_the_keys_have_the_codes_of_the_kernels_header() -> None:
    header = Path("/usr/include/linux/input-event-codes.h")
    if not header.exists():
        pytest.skip("no linux/input-event-codes.h here: make test installs it with libc6-dev")
    found = dict(re.findall(r"^#define KEY_(\w+)\s+(\d+)", header.read_text(), re.MULTILINE))
    kernel = {name: int(code) for name, code in found.items()}
    assert {char: kernel[name] for char, name in NAMES.items()} == {
        char: code for code, char in PLAIN.items() if code < 71 and code != 55
    }
    pad = {f"KP{digit}": digit for digit in "1234567890"}
    assert {kernel[name]: digit for name, digit in pad.items()} == KEYPAD
    rest = {"KPASTERISK": "*", "KPMINUS": "-", "KPPLUS": "+", "KPDOT": ".", "KPSLASH": "/", "102ND": "\\"}
    assert {name: PLAIN[kernel[name]] for name in rest} == rest
    sides = ("LEFT", "RIGHT")
    assert [{kernel[side + name] for side in sides} for name in ("SHIFT", "CTRL", "ALT")] == [SHIFT, CTRL, ALT]
    assert ({kernel["ENTER"], kernel["KPENTER"]}, kernel["CAPSLOCK"]) == (ENTER, CAPS_LOCK)


def test_every_printable_character_of_ascii_is_typed_and_read() -> None:
    text = "".join(map(chr, range(32, 127)))
    assert codes(keys().feed(typed(text), 7.0)) == [text]


def test_alt_and_a_number_is_a_byte_or_a_character_of_gbk() -> None:
    end = stroke(ENTER_KEY)
    assert codes(keys().feed(alt("0231") + alt("0165") + alt("0168") + end, 7.0)) == ["票"]  # E7 A5 A8 of UTF-8
    assert codes(keys("gbk").feed(alt("50865") + end, 7.0)) == ["票"]  # C6B1 of GBK
    assert codes(keys("gbk").feed(alt("198") + alt("177") + end, 7.0)) == ["票"]
    assert codes(keys().feed(alt("029") + alt("65536") + alt("065") + end, 7.0)) == ["\x1dA"]


def test_a_passport_typed_line_by_line_is_a_document() -> None:
    found = papers(keys().feed(b"".join(typed(line) for line in TD3), 7.0))
    assert [paper.fields for paper in found] == [ERIKSSON]


def test_events_may_be_cut_anywhere() -> None:
    sent = typed("Ab1") + typed("c")
    for cut in range(len(sent)):
        board = keys()
        assert codes(board.feed(sent[:cut], 7.0) + board.feed(sent[cut:], 7.1)) == ["Ab1", "c"]


def test_a_half_code_whose_enter_never_comes_is_noise_and_no_part_of_the_next() -> None:
    board = keys()
    assert board.feed(typed("40063813")[: -len(stroke(ENTER_KEY))], 7.0) == []
    assert board.due_s() == 7.0 + HALF_S
    assert board.feed(b"", 7.0 + HALF_S) == []
    assert board.due_s() is None
    assert codes(board.feed(typed("abc"), 20.0)) == ["abc"]
    assert board.take_noise() == 1


def test_a_flood_of_keys_takes_no_memory_and_is_one_noise() -> None:
    board = keys()
    flood = stroke(30) * 1000
    for _ in range(10):
        assert board.feed(flood, 7.0) == []
    assert len(board._typed) <= CODE_BYTES_MAX + 1
    assert codes(board.feed(stroke(ENTER_KEY) + typed("abc"), 7.0)) == ["abc"]
    assert board.take_noise() == 1
    for _ in range(1000):
        board.feed(event(ALT_KEY, 1) + stroke(71), 7.0)
    assert len(board._number) <= 6


@settings(derandomize=True, max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 110), st.integers(0, 2)), max_size=40), st.binary())
def test_no_events_whatever_raise(events: list[tuple[int, int, int]], rest: bytes) -> None:
    TARGETS["hid"](b"\x07" + b"".join(event(code, value, kind) for kind, code, value in events) + rest)


def test_bad_options_say_what_is_allowed() -> None:
    with pytest.raises(ValueError, match="device: found nothing, allowed is the path of an event device"):
        HidOptions("")
    with pytest.raises(ValueError, match="repeat_ms: found -1"):
        HidOptions("/dev/input/event0", repeat_ms=-1)


# ---- the driver


@contextmanager
def pipe(path: Path) -> Iterator[int]:
    """A named pipe, and the end that writes into it: what it lacks is the grab."""
    os.mkfifo(path)
    fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        yield fd
    finally:
        os.close(fd)
        path.unlink(missing_ok=True)


@pytest.fixture
def grabs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """What was asked of the kernel, which a pipe would refuse."""
    asked: list[tuple[int, int]] = []

    def ioctl(fd: int, request: int, value: int) -> int:
        asked.append((request, value))
        return 0

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    return asked


def take_good(host: RecordingHost) -> None:
    reading = host.take()
    assert isinstance(reading, Health)
    assert (reading.input, reading.quality) == ("desk", "good")


def driver(device: Path | str) -> HidDriver:
    return HidDriver("scan1", HidOptions(str(device)), DESK, {})


def test_scans_are_told_and_the_scanner_is_ours_alone(tmp_path: Path, grabs: list[tuple[int, int]]) -> None:
    made = driver(tmp_path / "scanner")
    with pipe(tmp_path / "scanner") as scanner, running(made) as host:
        take_good(host)
        assert grabs == [(EVIOCGRAB, 1)]
        os.write(scanner, typed("Ab1") + event(0, 0, 0) + event(3, 0, 0) + typed("c"))
        reading = host.take()
        assert isinstance(reading, Code)
        assert reading.code == "Ab1"
        reading = host.take()
        assert isinstance(reading, Code)
        assert reading.code == "c"
        os.write(scanner, b"".join(typed(line) for line in TD3))
        assert isinstance(host.take(), Paper)
        os.write(scanner, typed("\x09")[: 24 * 4] + event(3, 0, 0))
        until(lambda: made.noise == 2)  # twice the kernel has dropped keys


def test_a_scanner_pulled_out_a_hundred_times_works_each_time_it_is_back(
    tmp_path: Path, grabs: list[tuple[int, int]]
) -> None:
    made = driver(tmp_path / "scanner")
    for _ in range(100):
        with ExitStack() as plugged:
            scanner = plugged.enter_context(pipe(tmp_path / "scanner"))
            with running(made) as host:
                take_good(host)
                os.write(scanner, typed("abc") + stroke(30))
                assert isinstance(host.take(), Code)
                plugged.close()
                assert host.lost().found == "the scanner hung up"
    assert descriptors() < 100


def test_a_name_that_vanishes_is_an_error_though_the_scanner_is_silent(
    tmp_path: Path, grabs: list[tuple[int, int]]
) -> None:
    with pipe(tmp_path / "scanner"), running(driver(tmp_path / "scanner")) as host:
        take_good(host)
        (tmp_path / "scanner").unlink()
        error = host.lost()
    assert (error.where, error.found) == (str(tmp_path / "scanner"), "the scanner is gone (No such file or directory)")
    assert "cable" in error.hint


@pytest.mark.parametrize(
    ("number", "hint"),
    [(errno.EBUSY, "another program has grabbed"), (errno.EACCES, "group input"), (errno.EIO, "by-id")],
)
def test_a_scanner_that_cannot_be_had_says_why(monkeypatch: pytest.MonkeyPatch, number: int, hint: str) -> None:
    def ioctl(*_: object) -> int:
        raise OSError(number, "no")

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    with running(driver("/dev/null")) as host:
        assert hint in host.lost().hint


def test_what_is_not_there_or_no_keyboard_is_an_error(tmp_path: Path) -> None:
    with running(driver(tmp_path / "none")) as host:
        assert "/dev/input/by-id" in host.lost().hint
    with running(driver("/dev/null")) as host:
        error = host.lost()
    assert (error.found, error.hint) == (
        "Inappropriate ioctl for device",
        "look whether the name is that of the scanner: ls -l /dev/input/by-id",
    )


def test_a_scanner_has_no_outputs() -> None:
    made: Driver = driver("/dev/null")
    with pytest.raises(KeyError):
        made.set("lamp", True)
