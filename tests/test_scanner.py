"""The scanner driver: its parser on bytes, the driver on real ptys."""

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from fuzz_targets import TARGETS
from hypothesis import given, settings
from hypothesis import strategies as st
from mrz.generator.mrva import MRVACodeGenerator
from mrz.generator.mrvb import MRVBCodeGenerator
from mrz.generator.td1 import TD1CodeGenerator
from mrz.generator.td2 import TD2CodeGenerator
from mrz.generator.td3 import TD3CodeGenerator
from test_mrz import LONG_TD1, LONG_TD2, MRVA, MRVB, TD1, TD2, TD3

from drivers.contract import Code, Paper
from drivers.scanner import ScannerOptions, ScannerParser
from drivers.scans import CODE_BYTES_MAX, HALF_S, ZONE_LINES_S, ScanInput
from simulators.line import unescape

DESK = {"desk": ScanInput()}
ZONES = {"td3": TD3, "td2": TD2, "td1": TD1, "mrva": MRVA, "mrvb": MRVB, "long td2": LONG_TD2, "long td1": LONG_TD1}
ERIKSSON = {
    "type": "P",
    "issuer": "UTO",
    "number": "L898902C3",
    "nationality": "UTO",
    "surname": "ERIKSSON",
    "given_names": "ANNA MARIA",
    "birth": "740812",
    "sex": "F",
    "expires": "120415",
    "optional": "ZE184226B",
    "optional2": "",
}
GOLDEN = [
    [cell.strip() for cell in line.split("|")]
    for line in (Path(__file__).parent / "golden/scanner.txt").read_text(encoding="utf-8").splitlines()
    if line.count("|") == 2 and not line.startswith("Bytes")
]


class Bench:
    """A parser in virtual time."""

    def __init__(self, inputs: Mapping[str, ScanInput] = DESK, **options: Any) -> None:
        self.now_s = 7.0
        self.parser = ScannerParser(inputs, ScannerOptions("/dev/null", **options))

    def feed(self, *pieces: bytes | str) -> list[Code | Paper]:
        """Pieces 10 ms apart."""
        found: list[Code | Paper] = []
        for piece in pieces:
            self.now_s += 0.01
            found += self.parser.feed(piece if isinstance(piece, bytes) else piece.encode(), self.now_s)
        return found

    def silence(self, seconds: float) -> list[Code | Paper]:
        self.now_s += seconds
        return self.parser.feed(b"", self.now_s)

    @property
    def noise(self) -> int:
        return self.parser.take_noise()


def codes(readings: list[Code | Paper]) -> list[str]:
    assert all(isinstance(reading, Code) for reading in readings)
    return [reading.code for reading in readings if isinstance(reading, Code)]


def papers(readings: list[Code | Paper]) -> list[Paper]:
    return [reading for reading in readings if isinstance(reading, Paper)]


@pytest.mark.parametrize(("in_hex", "encoding", "words"), GOLDEN, ids=[f"{row[2]} {row[1]}" for row in GOLDEN])
def test_the_bytes_of_the_interface_sheet_are_read_as_it_says(in_hex: str, encoding: str, words: str) -> None:
    bench = Bench(encoding=encoding)
    found = bench.feed(bytes.fromhex(in_hex))
    told = " ".join(f"{each.code} {each.format}" for each in found if isinstance(each, Code)).rstrip()
    assert told == ("" if words in ("nothing", "noise") else unescape(words).decode())
    assert bench.noise == (words == "noise")


def test_the_interface_sheet_has_rows() -> None:
    assert len(GOLDEN) == 17


# ---- the end of a code


def test_a_code_in_pieces_is_the_same_code_wherever_it_is_cut() -> None:
    sent = "票号 7\r\n]C110AB\x1d217\r\n".encode()
    for cut in range(len(sent)):
        assert codes(Bench().feed(sent[:cut], sent[cut:])) == ["票号 7", "10AB\x1d217"]


def test_a_half_code_whose_end_never_comes_is_noise_and_no_part_of_the_next() -> None:
    bench = Bench()
    assert bench.feed("40063813") == []
    assert bench.silence(HALF_S - 0.1) == []
    assert codes(bench.feed("33931\r")) == ["4006381333931"]
    assert bench.feed("40063813") == []
    assert bench.silence(HALF_S) == []
    assert codes(bench.feed("ABC\r")) == ["ABC"]
    assert bench.noise == 1


def test_without_a_terminator_a_pause_ends_a_code_and_a_line_end_in_it_does_not() -> None:
    bench = Bench(end_ms=100)
    assert bench.feed("BEGIN:VCARD\r\nN:票", "号\r\nEND:VCARD\r\n") == []
    assert bench.parser.due_s() == bench.now_s + 0.1
    assert bench.silence(0.09) == []
    assert codes(bench.silence(0.02)) == ["BEGIN:VCARD\r\nN:票号\r\nEND:VCARD"]
    assert bench.parser.due_s() is None
    assert bench.silence(5) == []
    assert bench.noise == 0


def test_a_box_that_is_busy_longer_than_the_pause_cuts_no_code_in_two() -> None:
    """Bytes that waited in the kernel meanwhile: no silence was seen."""
    bench = Bench(end_ms=100)
    bench.feed("40063813")
    bench.now_s += 3
    assert bench.feed("33931") == []
    assert codes(bench.silence(0.2)) == ["4006381333931"]


def test_the_longest_code_is_read_and_one_byte_more_is_one_noise() -> None:
    for ending in (0, 100):
        bench = Bench(end_ms=ending)
        longest = b"7" * CODE_BYTES_MAX
        assert codes(bench.feed(longest + b"\r") + bench.silence(1)) == [longest.decode()]
        assert bench.noise == 0
        assert bench.feed(longest + b"7\r") + bench.silence(1) == []
        assert bench.noise == 1


def test_a_flood_without_an_end_takes_no_memory_and_is_one_noise() -> None:
    for ending in (0, 100):
        bench = Bench(end_ms=ending)
        for _ in range(1000):
            assert bench.feed(b"B2:1 " * 800) == []
        assert len(bench.parser._unread) < CODE_BYTES_MAX + 100
        assert codes(bench.feed(b"\r") + bench.silence(1) + bench.feed(b"ABC\r") + bench.silence(1)) == ["ABC"]
        assert bench.noise == 1


# ---- the same label twice


def test_a_label_read_twice_within_repeat_ms_is_one_scan() -> None:
    bench = Bench(repeat_ms=500)
    assert codes(bench.feed("A\rA\r", "A\r")) == ["A"]
    bench.now_s += 0.4
    assert bench.feed("A\r") == [], "it is still there"
    bench.now_s += 0.5
    assert codes(bench.feed("A\r")) == ["A"]
    assert bench.noise == 0


def test_another_label_in_between_is_another_scan() -> None:
    assert codes(Bench().feed("A\rB\rA\r")) == ["A", "B", "A"]


def test_where_repeat_ms_is_0_every_reading_is_a_scan() -> None:
    assert codes(Bench(repeat_ms=0).feed("A\rA\r")) == ["A", "A"]


def test_a_document_read_twice_is_one_scan_too() -> None:
    assert len(Bench().feed("\r".join([*TD3, *TD3, ""]))) == 1


# ---- documents


@pytest.mark.parametrize("lines", ZONES.values(), ids=ZONES)
def test_a_zone_is_read_line_by_line_in_one_block_and_with_line_ends_in_it(lines: list[str]) -> None:
    by_line = Bench().feed(*(line + "\r" for line in lines))
    block = Bench().feed("".join(lines) + "\r\n")
    paused = Bench(end_ms=100)
    with_ends = paused.feed("\r\n".join(lines)) + paused.silence(0.2)
    with_prefix = Bench().feed(*(f"]o3{line}\r" for line in lines))
    told = [[(p.layout, p.fields, p.wrong) for p in papers(each)] for each in (by_line, block, with_ends, with_prefix)]
    assert told[0] == told[1] == told[2] == told[3]
    assert len(told[0]) == 1
    assert told[0][0][2] == ()


def test_a_passport_is_told_whole() -> None:
    bench = Bench()
    [paper] = bench.feed("\r".join([*TD3, ""]))
    assert paper == Paper("desk", "td3", ERIKSSON, (), bench.now_s)


def test_o_and_0_are_told_apart_by_where_they_stand() -> None:
    [paper] = papers(
        Bench().feed("P<UT0ER1KSS0N<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\r", "L8989O2C36UT074O8I22F12O4159ZE184226B<<<<<1O\r")
    )
    assert (paper.fields, paper.wrong) == (ERIKSSON, ())


def test_every_check_digit_that_is_wrong_is_named() -> None:
    """The digits of TD3 stand at 9, 19, 27, 42 and 43 of its second line (part 4, 4.2.2.2)."""
    for at, name in ((9, "number"), (19, "birth"), (27, "expires"), (42, "optional")):
        digit = str((int(TD3[1][at]) + 1) % 10)
        [paper] = papers(Bench().feed(TD3[0] + "\r", TD3[1][:at] + digit + TD3[1][at + 1 :] + "\r"))
        assert paper.wrong == (name, "composite")
    [paper] = papers(Bench().feed(TD3[0] + "\r", TD3[1][:43] + "1\r"))
    assert paper.wrong == ("composite",)


COMMON = ("740812", "F", "270415")
PEERS = {
    "td1": str(TD1CodeGenerator("I", "UTO", "D23145890", *COMMON, "UTO", "ERIKSSON", "ANNA MARIA", "A1", "B2")),
    "td2": str(TD2CodeGenerator("I", "UTO", "ERIKSSON", "ANNA MARIA", "D23145890", "UTO", *COMMON, "A1")),
    "td3": str(TD3CodeGenerator("P", "UTO", "ERIKSSON", "ANNA MARIA", "L898902C3", "UTO", *COMMON, "ZE18")),
    "mrva": str(MRVACodeGenerator("V", "UTO", "ERIKSSON", "ANNA MARIA", "L8988901C", "XXX", *COMMON, "ZE18")),
    "mrvb": str(MRVBCodeGenerator("V", "UTO", "ERIKSSON", "ANNA MARIA", "L8988901C", "XXX", *COMMON, "ZE18")),
}


@pytest.mark.parametrize("layout", PEERS)
def test_zones_that_another_implementation_makes_are_read_right(layout: str) -> None:
    [paper] = papers(Bench().feed(PEERS[layout].replace("\n", "\r") + "\r"))
    told = paper.fields
    assert (paper.layout, paper.wrong) == (layout, ())
    assert (told["surname"], told["given_names"], told["issuer"]) == ("ERIKSSON", "ANNA MARIA", "UTO")
    assert (told["birth"], told["sex"], told["expires"]) == COMMON
    assert told["number"] in ("D23145890", "L898902C3", "L8988901C")
    assert told["optional"] in ("A1", "ZE18")


def test_a_part_of_a_zone_is_noise_and_never_a_code_for_it_carries_a_name() -> None:
    bench = Bench()
    assert bench.feed(TD3[0] + "\r") == []
    assert bench.parser.due_s() == bench.now_s + ZONE_LINES_S
    assert codes(bench.silence(ZONE_LINES_S) + bench.feed("ABC\r")) == ["ABC"]
    assert bench.noise == 1
    assert codes(bench.feed(TD3[0] + "\r", "DEF\r")) == ["DEF"]
    assert bench.noise == 1
    assert [paper.layout for paper in papers(bench.feed(TD3[0] + "\r", *(line + "\r" for line in TD2)))] == ["td2"]
    assert bench.noise == 1
    assert bench.feed(TD1[2] + "\r") + bench.silence(2) == []
    assert bench.noise == 1


def test_what_looks_like_a_zone_and_proves_nothing_is_noise() -> None:
    bench = Bench()
    assert bench.feed(*(line.translate({ord("1"): "7", ord("2"): "5"}) + "\r" for line in TD3)) == []
    assert bench.noise == 1


def test_a_number_of_nothing_but_o_costs_no_time() -> None:
    """2^23 ways to read it would take minutes, and all of the box would wait."""
    bench = Bench()
    bench.feed("I<UTOSTEVENSON<<PETER<JOHN<<<<<<<<<<\r", "OOOOOOOOO<UTO3407127M9507122OOOOOO5<\r")
    assert bench.noise <= 1


# ---- whose code it is


def test_a_code_goes_to_the_first_input_that_it_matches_and_a_document_to_one_that_takes_all() -> None:
    bench = Bench({"tags": ScanInput("^P:"), "desk": ScanInput()})
    found = bench.feed("P:0042\r", "0042\r", *(line + "\r" for line in TD2))
    assert [(type(each), each.input) for each in found] == [(Code, "tags"), (Code, "desk"), (Paper, "desk")]
    bench = Bench({"tags": ScanInput("^P:")})
    assert bench.feed("0042\r", *(line + "\r" for line in TD2)) == []
    assert bench.noise == 2


# ---- garbage


def test_random_bytes_never_stop_the_parser() -> None:
    rng = random.Random(4)
    bench = Bench()
    for _ in range(300):
        bench.feed(rng.randbytes(rng.randrange(200)))
    bench.feed("\r")
    bench.silence(2)
    assert codes(bench.feed("ABC\r")) == ["ABC"]
    assert bench.noise > 0


ALPHABET = st.sampled_from([b"\r", b"\n", b"\x03", b"<", b"P<UTO", b"]C1", b"\xc6\xb1", b"0", b"O", "票".encode()])


@settings(derandomize=True, max_examples=200, deadline=None)
@given(st.one_of(st.binary(max_size=300), st.lists(ALPHABET, max_size=200).map(b"".join)))
def test_no_bytes_whatever_raise(data: bytes) -> None:
    TARGETS["scanner"](data)


@settings(derandomize=True, max_examples=200, deadline=None)
@given(st.sampled_from([*ZONES.values()]), st.data())
def test_a_zone_with_wrong_characters_is_a_document_or_noise_and_never_a_code(lines: list[str], data: Any) -> None:
    characters = [list(line) for line in lines]
    for _ in range(data.draw(st.integers(1, 6))):
        line = data.draw(st.sampled_from(characters))
        line[data.draw(st.integers(0, len(line) - 1))] = data.draw(st.sampled_from("<<ABOIPV0139"))
    bench = Bench()
    assert (
        codes([each for each in bench.feed(*("".join(line) + "\r" for line in characters)) if isinstance(each, Code)])
        == []
    )


# ---- keys


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"port": ""}, "port: found nothing"),
        ({"baud": 7}, "baud: found 7, allowed is a speed from 50"),
        ({"encoding": "utf-16"}, "encoding: found 'utf-16', allowed is one of auto, utf-8, gbk, latin-1"),
        ({"repeat_ms": 10_001}, "repeat_ms: found 10001, allowed is 0 to 10000 ms"),
        ({"end_ms": 19}, "end_ms: found 19, allowed is 20 to 2000 ms, or 0"),
    ],
)
def test_bad_options_say_what_is_allowed(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ScannerOptions(**{"port": "/dev/ttyUSB0", **wrong})


def test_a_bad_pattern_is_named() -> None:
    with pytest.raises(ValueError, match=r"match: found '\(', which is no regular expression"):
        ScanInput("(")
