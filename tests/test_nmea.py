"""NMEA 0183 on bytes: sentences of manuals, pynmea2 as an independent reader, and what a bad wire makes of them."""

from datetime import UTC, datetime
from functools import reduce
from operator import xor
from pathlib import Path

import pynmea2  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.contract import Fix, Health, Reading
from drivers.nmea import BESIDE_S, LINE_BYTES_MAX, SILENT_S, NmeaParser

GOLDEN = [
    [cell.strip() for cell in line.split("|")]
    for line in (Path(__file__).parent / "golden/nmea.txt").read_text(encoding="utf-8").splitlines()
    if line.count("|") == 1 and not line.startswith("Sentence")
]
RMC = "$GPRMC,123519,A,4807.038,N,01131.000,E,022.4,084.4,230394,003.1,W*6A\r\n"
GGA = "$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47\r\n"


def sentence(body: str) -> str:
    return f"${body}*{reduce(xor, body.encode()):02X}\r\n"


def waiting() -> NmeaParser:
    parser = NmeaParser(["sat"])
    parser.feed(b"", 0.0)
    return parser


def read(text: str, now_s: float = 7.0, parser: NmeaParser | None = None) -> list[Reading]:
    """What one receiver's input gets, without the word that it is good. A new parser has long waited for an RMC."""
    if parser is None:
        parser = waiting()
    return [reading for reading in parser.feed(text.encode("latin-1"), now_s) if not isinstance(reading, Health)]


def fix(text: str, now_s: float = 7.0, parser: NmeaParser | None = None) -> Fix:
    [reading] = read(text, now_s, parser)
    assert isinstance(reading, Fix)
    return reading


def in_words(made: Fix) -> str:
    if made.latitude is None or made.longitude is None:
        assert made == Fix("sat", None, None, 7.0)
        return "no fix"
    words = [f"{made.latitude:.7f}", f"{made.longitude:.7f}"]
    if made.utc_s is not None:
        words.append(datetime.fromtimestamp(made.utc_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
    told = {"m/s": made.speed_mps, "deg": made.course_deg, "satellites": made.satellites, "hdop": made.hdop}
    return " ".join(words + [f"{value} {unit}" for unit, value in told.items() if value is not None])


@pytest.mark.parametrize(("line", "words"), GOLDEN, ids=[f"{row[0][:10]} {row[1]}" for row in GOLDEN])
def test_sentences_of_manuals_are_read_as_they_say(line: str, words: str) -> None:
    parser = waiting()
    readings = read(line + "\r\n", parser=parser)
    assert [in_words(made) for made in readings if isinstance(made, Fix)] == [words][words in ("noise", "nothing") :]
    assert parser.take_noise() == (words == "noise")


def test_the_table_of_sentences_has_rows() -> None:
    assert len(GOLDEN) == 15


@pytest.mark.parametrize("talker", ["GP", "GN", "GL", "GA", "GB", "BD", "GQ"])
def test_every_constellation_is_read(talker: str) -> None:
    assert fix(sentence(f"{talker}RMC,123519,A,4807.038,N,01131.000,E,,,221126,,,A")).latitude == 48.1173


def test_a_sentence_of_another_device_on_the_wire_is_neither_a_fix_nor_noise() -> None:
    parser = NmeaParser(["sat"])
    assert parser.feed(sentence("HEHDT,274.07,T").encode(), 7.0) == []
    assert parser.take_noise() == 0


@pytest.mark.parametrize("mode", ["E", "M", "S", "N"])
def test_what_is_estimated_typed_in_or_simulated_is_no_place_and_no_time(mode: str) -> None:
    made = fix(sentence(f"GNRMC,123519,A,4807.038,N,01131.000,E,0.0,,221126,,,{mode}"))
    assert (made.latitude, made.longitude, made.utc_s) == (None, None, None)


@pytest.mark.parametrize("quality", ["0", "6", "7", "8"])
def test_so_it_is_in_a_gga(quality: str) -> None:
    assert fix(sentence(f"GNGGA,123519,4807.038,N,01131.000,E,{quality},08,0.9,545.4,M,46.9,M,,")).latitude is None


@pytest.mark.parametrize(
    "fields",
    [
        "123519,A,4807.038,N,01131.000,E,022.4,084.4,310226,003.1,W",  # 31 February
        "123519,A,4807.038,N,01131.000,E,022.4,084.4,001126,003.1,W",
        "243519,A,4807.038,N,01131.000,E,022.4,084.4,221126,003.1,W",  # 24 hours
        "12351,A,4807.038,N,01131.000,E,022.4,084.4,221126,003.1,W",
        "123519,X,4807.038,N,01131.000,E,022.4,084.4,221126,003.1,W",
        "123519,A,4867.038,N,01131.000,E,022.4,084.4,221126,003.1,W",  # 67 minutes
        "123519,A,9107.038,N,01131.000,E,022.4,084.4,221126,003.1,W",  # 91 degrees
        "123519,A,4807.038,N,18131.000,E,022.4,084.4,221126,003.1,W",
        "123519,A,4807.038,E,01131.000,N,022.4,084.4,221126,003.1,W",
        "123519,A,,,,,022.4,084.4,221126,003.1,W",
        "123519,A,4807.038,N,01131.000,E,1e9,084.4,221126,003.1,W",
        "123519,A",
    ],
)
def test_fields_that_are_none_are_noise_though_their_checksum_is_right(fields: str) -> None:
    parser = NmeaParser(["sat"])
    assert parser.feed(sentence(f"GPRMC,{fields}").encode(), 7.0) == []
    assert parser.take_noise() == 1


def test_a_year_of_two_digits_is_one_since_gps_began() -> None:
    years = [
        datetime.fromtimestamp(
            fix(sentence(f"GPRMC,000000,A,0000.0,N,00000.0,E,,,0601{year},,,A")).utc_s or 0, UTC
        ).year
        for year in ("80", "99", "00", "26", "79")
    ]
    assert years == [1980, 1999, 2000, 2026, 2079]


def test_a_leap_second_is_the_second_after() -> None:
    told = fix(sentence("GPRMC,235960.00,A,0000.0,N,00000.0,E,,,311226,,,A")).utc_s
    assert told == datetime(2027, 1, 1, tzinfo=UTC).timestamp()


def test_an_rmc_has_the_satellites_of_the_gga_beside_it_and_not_of_an_old_one() -> None:
    parser = waiting()
    assert [made.satellites for made in (fix(GGA, 7.0, parser), fix(RMC, 7.1, parser))] == [8, 8]
    assert read(GGA, 8.0, parser) == []  # told with the next RMC
    assert fix(RMC, 8.0 + BESIDE_S, parser).satellites is None


@pytest.mark.parametrize(("zda", "day"), [("235959", 21), ("000001", 22)])
def test_without_rmc_a_gga_is_a_fix_that_has_its_date_from_the_zda_beside_it(zda: str, day: int) -> None:
    parser = waiting()
    read(sentence(f"GPZDA,{zda},{day},11,2026,00,00"), 7.0, parser)
    made = fix(sentence("GPGGA,000000,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,"), 7.2, parser)
    assert made.utc_s == datetime(2026, 11, 22, tzinfo=UTC).timestamp()
    assert fix(GGA, 7.0 + BESIDE_S, parser).utc_s is None


def test_a_gga_that_comes_before_the_first_rmc_is_told_with_it() -> None:
    parser = NmeaParser(["sat"])
    assert read(GGA, 1.0, parser) == []
    assert fix(RMC, 1.1, parser).satellites == 8


def test_an_empty_zda_is_no_noise_and_no_date() -> None:
    parser = waiting()
    assert read(sentence("GPZDA,,,,,,"), 7.0, parser) == []
    assert fix(GGA, 7.0, parser).utc_s is None
    assert parser.take_noise() == 0


# ---- the wire


def test_a_sentence_is_read_however_its_bytes_are_cut() -> None:
    data = RMC.encode()
    for cut in range(len(data)):
        parser = NmeaParser(["sat"])
        readings = [*parser.feed(data[:cut], 7.0), *parser.feed(data[cut:], 7.0)]
        assert [type(reading) for reading in readings] == [Health, Fix]
        assert parser.take_noise() == 0


def test_a_torn_sentence_costs_itself_and_not_the_one_behind_it() -> None:
    parser = NmeaParser(["sat"])
    assert fix(RMC[:30] + RMC, 7.0, parser).latitude == 48.1173
    assert parser.take_noise() == 1


def test_each_input_of_the_receiver_gets_each_reading() -> None:
    readings = NmeaParser(["a", "b"]).feed(RMC.encode(), 7.0)
    assert [(reading.input, type(reading)) for reading in readings] == [
        ("a", Health),
        ("b", Health),
        ("a", Fix),
        ("b", Fix),
    ]


def test_a_receiver_is_good_with_its_first_sentence_offline_after_a_silence_and_good_again() -> None:
    parser = NmeaParser(["sat"])
    assert parser.feed(b"", 1.0) == []
    told = [reading for now_s in (1.5, 1.0 + SILENT_S, 60.0) for reading in parser.feed(b"", now_s)]
    assert [(reading.quality, "cable" in reading.reason) for reading in told if isinstance(reading, Health)] == [
        ("offline", True)
    ]
    assert parser.feed(RMC.encode(), 61.0)[0] == Health("sat", "good", "", 61.0)
    assert [type(reading) for reading in parser.feed(RMC.encode(), 62.0)] == [Fix]
    assert parser.feed(b"", 62.0 + SILENT_S - 0.1) == []
    assert len(parser.feed(b"", 62.0 + SILENT_S)) == 1


def test_a_receiver_at_another_speed_is_offline_and_the_words_say_where_to_look() -> None:
    parser = NmeaParser(["sat"])
    parser.feed(b"\x80\xfe\x00\r\n" * 4, 1.0)
    [told] = parser.feed(b"\xff", 1.0 + SILENT_S)
    assert isinstance(told, Health)
    assert told.reason.startswith("21 bytes, and no RMC") and "baud" in told.reason
    assert parser.take_noise() == 4


def test_a_line_without_end_takes_no_memory_and_is_one_noise() -> None:
    parser = NmeaParser(["sat"])
    for _ in range(200):
        assert parser.feed(b"$GPRMC," * 600, 7.0) == []
    assert len(parser._unread) <= LINE_BYTES_MAX + 1
    assert fix("\r\n" + RMC, 7.0, parser).latitude == 48.1173
    assert parser.take_noise() == 1


@given(
    st.lists(st.one_of(st.binary(max_size=80), st.sampled_from([RMC.encode(), GGA.encode(), b"$GP", b"*", b"\r\n"])))
)
@settings(derandomize=True, max_examples=200, deadline=None)
def test_whatever_comes_the_parser_stands_and_reads_the_next_sentence(pieces: list[bytes]) -> None:
    parser = NmeaParser(["sat"])
    for piece in pieces:
        for reading in parser.feed(piece, 7.0):
            assert not isinstance(reading, Fix) or reading.latitude is None or -90 <= reading.latitude <= 90
        assert len(parser._unread) <= LINE_BYTES_MAX + 1
    assert fix("\r\n" + RMC, 99.0, parser).utc_s == 764426119.0


@given(
    latitude=st.floats(-90, 90),
    longitude=st.floats(-180, 180),
    at=st.datetimes(datetime(1980, 1, 6), datetime(2068, 12, 31)),  # noqa: DTZ001  pynmea2's century turns there
    knots=st.floats(0, 999),
)
@settings(derandomize=True, max_examples=200, deadline=None)
def test_pynmea2_reads_the_same(latitude: float, longitude: float, at: datetime, knots: float) -> None:
    north, east = "NS"[latitude < 0], "EW"[longitude < 0]
    minutes = [divmod(round(abs(value) * 60e4), 600_000) for value in (latitude, longitude)]
    body = (
        f"GNRMC,{at:%H%M%S}.00,A,{minutes[0][0]:02d}{minutes[0][1] / 1e4:07.4f},{north},"
        f"{minutes[1][0]:03d}{minutes[1][1] / 1e4:07.4f},{east},{knots:.2f},,{at:%d%m%y},,,A"
    )
    peer, made = pynmea2.parse(sentence(body).strip(), check=True), fix(sentence(body))
    assert (made.latitude, made.longitude) == pytest.approx((peer.latitude, peer.longitude), abs=1e-6)
    assert made.utc_s == peer.datetime.replace(tzinfo=UTC).timestamp()
    assert made.speed_mps == pytest.approx(peer.spd_over_grnd * 1852 / 3600, abs=0.01)


def test_pynmea2_takes_a_sentence_without_a_checksum_and_we_do_not() -> None:
    bare = RMC.partition("*")[0]
    assert pynmea2.parse(bare).latitude == pytest.approx(48.1173)
    assert read(bare + "\r\n") == []
