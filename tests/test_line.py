"""The line driver: its parser on bytes, the driver on real ptys."""

import random
import re
from pathlib import Path

import pytest
from driver_host import RecordingHost, descriptors, forget_others, running, until

from drivers.contract import Code, Driver, Edge, Health, Reading
from drivers.line import LINE_BYTES_MAX, Encoding, LineDriver, LineInput, LineOptions, LineParser
from simulators.line import LinePanel, obey, unescape

INPUTS = {
    "alarm-2": LineInput(pressed="^B2:1$", released="^B2:0$"),
    "key": LineInput(pressed="^K3$"),
    "desk": LineInput(pressed="^S:(?P<code>.+)$"),
}
PRESS, RELEASE = Edge("alarm-2", True, 7.0, settled=True), Edge("alarm-2", False, 7.0, settled=True)

GOLDEN = [
    [cell.strip() for cell in line.split("|")]
    for line in (Path(__file__).parent / "golden/line-panel.txt").read_text(encoding="utf-8").splitlines()
    if line.count("|") == 2 and not line.startswith("Bytes")
]


def parser(encoding: Encoding = "utf-8") -> LineParser:
    return LineParser(INPUTS, encoding)


def expected(words: str) -> list[Reading]:
    if words in ("nothing", "noise"):
        return []
    readings: list[Reading] = []
    for part in words.split(", "):
        match part.split(" "):
            case [name, "on" | "off" as level]:
                readings.append(Edge(name, level == "on", 7.0, settled=True))
            case [name, "code", code]:
                readings.append(Code(name, code, 7.0))
            case _:
                raise AssertionError(part)
    return readings


@pytest.mark.parametrize(("in_hex", "encoding", "words"), GOLDEN, ids=[f"{row[2]} {row[1]}" for row in GOLDEN])
def test_the_bytes_of_the_panels_protocol_sheet_are_read_as_it_says(
    in_hex: str, encoding: Encoding, words: str
) -> None:
    panel = parser(encoding)
    assert panel.feed(bytes.fromhex(in_hex), 7.0) == expected(words)
    assert panel.take_noise() == (words == "noise")


def test_the_protocol_sheet_has_rows() -> None:
    assert len(GOLDEN) == 9


def test_a_half_line_waits_for_its_end() -> None:
    panel = parser()
    assert panel.feed(b"B2", 1.0) == []
    assert panel.feed(b":1", 2.0) == []
    assert panel.feed(b"\r", 7.0) == [PRESS]
    assert panel.take_noise() == 0


@pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\n", b"\n\r", b"\r\r\n"])
def test_a_line_ends_in_cr_or_lf_or_both_however_the_bytes_are_cut(end: bytes) -> None:
    data = b"B2:1" + end + b"B2:0" + end
    for cut in range(len(data)):
        panel = parser()
        assert panel.feed(data[:cut], 7.0) + panel.feed(data[cut:], 7.0) == [PRESS, RELEASE]
        assert panel.take_noise() == 0


def test_a_press_without_a_release_is_a_pulse() -> None:
    assert parser().feed(b"K3\n", 7.0) == [Edge("key", True, 7.0, settled=True), Edge("key", False, 7.0, settled=True)]


def test_one_line_reaches_every_input_that_it_matches() -> None:
    both = LineParser({"a": LineInput("^B1", "x"), "b": LineInput("1:1$", "x"), "c": LineInput("^B2", "x")}, "utf-8")
    assert both.feed(b"B1:1\n", 7.0) == [Edge("a", True, 7.0, settled=True), Edge("b", True, 7.0, settled=True)]


def test_the_longest_line_is_read_and_one_byte_more_is_one_noise() -> None:
    panel = parser()
    longest = b"S:" + b"7" * (LINE_BYTES_MAX - 2)
    assert panel.feed(longest + b"\r", 7.0) == [Code("desk", "7" * (LINE_BYTES_MAX - 2), 7.0)]
    assert panel.take_noise() == 0
    assert panel.feed(longest + b"7\r", 7.0) == []
    assert panel.take_noise() == 1


def test_an_overlong_line_is_dropped_to_its_end_and_counted_once_and_takes_no_memory() -> None:
    panel = parser()
    for _ in range(1000):
        assert panel.feed(b"B2:1 " * 800, 7.0) == []
    assert len(panel._unread) <= LINE_BYTES_MAX + 1
    assert panel.feed(b"\r\nB2:1\r\n", 7.0) == [PRESS]
    assert panel.take_noise() == 1


def test_an_overlong_line_is_noise_wherever_its_bytes_are_cut() -> None:
    line = b"S:" + b"7" * LINE_BYTES_MAX + b"\r"
    for cut in range(LINE_BYTES_MAX - 3, len(line)):
        panel = parser()
        assert panel.feed(line[:cut], 7.0) + panel.feed(line[cut:], 7.0) == []
        assert panel.take_noise() == 1


def test_a_line_that_cannot_be_decoded_is_noise_even_for_a_pattern_that_matches_everything() -> None:
    panel = LineParser({"any": LineInput(".*")}, "utf-8")
    assert panel.feed(b"\xff\xfe\r", 7.0) == []
    assert panel.take_noise() == 1


def test_an_empty_code_is_noise_and_no_scan() -> None:
    panel = LineParser({"desk": LineInput("^S:(?P<code>.*)$")}, "utf-8")
    assert panel.feed(b"S:\r", 7.0) == []
    assert panel.take_noise() == 1


def test_control_characters_in_a_code_are_data() -> None:
    assert parser().feed(b"S:010400638133393\x1d10A\r", 7.0) == [Code("desk", "010400638133393\x1d10A", 7.0)]


def test_random_bytes_never_stop_the_parser() -> None:
    rng = random.Random(2)
    panel = parser()
    for _ in range(300):
        panel.feed(rng.randbytes(rng.randrange(200)), 1.0)
    panel.feed(b"\r", 1.0)
    assert panel.feed(b"B2:1\r", 7.0) == [PRESS]
    assert panel.take_noise() > 0


def test_a_bad_pattern_is_named() -> None:
    with pytest.raises(ValueError, match=r"pressed: found '\^B\(2'.*no regular expression.*unterminated"):
        LineInput(pressed="^B(2")
    with pytest.raises(ValueError, match=r"released: found '\*'"):
        LineInput(pressed="^B2$", released="*")
    with pytest.raises(ValueError, match="a scan is never released"):
        LineInput(pressed="(?P<code>.+)", released="x")


def test_an_input_gives_codes_where_its_pattern_has_one() -> None:
    assert {name: keys.codes for name, keys in INPUTS.items()} == {"alarm-2": False, "key": False, "desk": True}


def test_bad_options_say_what_is_allowed() -> None:
    with pytest.raises(ValueError, match="port: found nothing"):
        LineOptions(port="")
    with pytest.raises(ValueError, match="baud: found 7, allowed is a speed from 50"):
        LineOptions(port="/dev/ttyUSB0", baud=7)
    with pytest.raises(ValueError, match="encoding: found 'utf-16', allowed is one of utf-8, gbk, latin-1"):
        LineOptions(port="/dev/ttyUSB0", encoding="utf-16")  # type: ignore[arg-type]


# On real ptys


def driver(port: str) -> LineDriver:
    return LineDriver("panel", LineOptions(port=port), INPUTS, {})


def take_health(host: RecordingHost) -> None:
    for name in INPUTS:
        reading = host.take()
        assert isinstance(reading, Health)
        assert (reading.input, reading.quality) == (name, "good")


def take_edge(host: RecordingHost) -> tuple[str, bool]:
    reading = host.take()
    assert isinstance(reading, Edge)
    return reading.input, reading.active


def test_a_panel_has_no_outputs() -> None:
    made: Driver = driver("/dev/null")
    assert made.noise == 0
    with pytest.raises(KeyError):
        made.set("lamp", True)


def test_lines_of_a_real_port_become_edges_and_garbage_is_counted() -> None:
    with LinePanel() as panel:
        line = driver(panel.path)
        with running(line) as host:
            take_health(host)
            panel.send(b"\xff\xfe\x00\r\n" + b"x" * 5000 + b"\r\nB9:1\r\n\r\nB2:1\r\nB2")
            assert take_edge(host) == ("alarm-2", True)
            panel.send(b":0\r\n")
            assert take_edge(host) == ("alarm-2", False)
            until(lambda: line.noise == 3)


def test_a_pulled_cable_is_an_error_and_the_port_works_again_after_it_is_back(tmp_path: Path) -> None:
    with LinePanel(tmp_path / "panel") as panel:
        line = driver(panel.path)
        with running(line) as host:
            take_health(host)
            panel.send(b"junk\rB2")
            until(lambda: line.noise == 1)
            panel.unplug()
            error = host.lost()
        assert error.where == panel.path
        assert "gone" in error.found or "hung up" in error.found
        assert "cable" in error.hint

        with running(line) as host:
            error = host.lost()
        assert error.found == "No such file or directory"
        assert "/dev/serial/by-id" in error.hint

        panel.plug()
        with running(line) as host:
            take_health(host)
            panel.send(b":1\r")  # the other half of a line from before the gap
            panel.send(b"B2:1\r")
            assert take_edge(host) == ("alarm-2", True)
            until(lambda: line.noise == 2)  # it goes on counting


def test_a_name_that_vanishes_or_leads_to_another_device_is_an_error_though_the_port_is_silent(tmp_path: Path) -> None:
    with LinePanel(tmp_path / "panel") as panel, LinePanel() as other:
        with running(driver(panel.path)) as host:
            take_health(host)
            (tmp_path / "panel").unlink()
            assert "No such file" in host.lost().found
        (tmp_path / "panel").symlink_to(panel._pty)
        with running(driver(panel.path)) as host:
            take_health(host)
            (tmp_path / "new").symlink_to(other.path)
            (tmp_path / "new").rename(tmp_path / "panel")
            assert "another device" in host.lost().found


def test_a_port_that_another_program_has_is_an_error_that_says_so() -> None:
    with LinePanel() as panel, running(driver(panel.path)) as host:
        take_health(host)
        with running(driver(panel.path)) as second:
            assert "another program has this port" in second.lost().hint


def test_a_file_that_is_no_port_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with running(driver(str(tmp_path / "file"))) as host:
        assert "serial device" in host.lost().hint


def test_a_silent_port_still_shows_that_the_driver_lives() -> None:
    with LinePanel() as panel, running(driver(panel.path)) as host:
        until(lambda: host.beats >= 3)


def test_a_panel_pulled_out_a_hundred_times_is_read_each_time_and_leaves_nothing_open(tmp_path: Path) -> None:
    with LinePanel(tmp_path / "panel") as panel:
        line = driver(panel.path)
        forget_others()
        counts = set()
        for _ in range(100):
            with running(line) as host:
                take_health(host)
                panel.send(b"B2:1\r\n")
                assert take_edge(host) == ("alarm-2", True)
                panel.unplug()
                host.lost()
            counts.add(descriptors())
            panel.plug()
        assert len(counts) == 1


# The simulated panel


def test_typed_lines_stand_for_the_bytes_they_name() -> None:
    assert unescape(r"S:票\x1d1\\n\r") == "S:票".encode() + b"\x1d1\\n\r"


def test_the_commands_of_the_simulated_panel_do_what_they_say(tmp_path: Path) -> None:
    with LinePanel(tmp_path / "panel") as panel:
        line = driver(panel.path)
        with running(line) as host:
            take_health(host)
            obey(panel, "!half B2:")
            obey(panel, "1")
            assert take_edge(host) == ("alarm-2", True)
            obey(panel, r"B2:0\rK3")
            assert [take_edge(host) for _ in range(3)] == [("alarm-2", False), ("key", True), ("key", False)]
            obey(panel, "!noise 64")
            obey(panel, "")
            obey(panel, "B2:1")
            until(lambda: line.noise > 0)
            obey(panel, "!unplug")
            host.lost()
        assert not (tmp_path / "panel").is_symlink()
        assert obey(panel, "!plug") == panel.path
        assert re.search("!noise N", obey(panel, "!noise many"))


def test_what_a_panel_says_into_an_unplugged_cable_is_lost_and_nothing_hangs() -> None:
    with LinePanel() as panel:
        panel.unplug()
        assert panel.send(b"B2:1\r\n") == 0
        panel.plug()
        assert 0 < panel.send(b"x" * 200_000) < 200_000  # nobody reads


def test_a_link_never_replaces_a_file(tmp_path: Path) -> None:
    (tmp_path / "panel").write_text("precious")
    with pytest.raises(FileExistsError):
        LinePanel(tmp_path / "panel")
    assert (tmp_path / "panel").read_text() == "precious"
