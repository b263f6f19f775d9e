"""What a modem says, as lines; texts as it wants them typed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.at import LINE_BYTES_MAX, REGISTERED, Lines, explain, is_final, message, ucs2


def test_lines_end_in_cr_lf_and_a_prompt_has_no_end_however_the_bytes_are_cut() -> None:
    data = b'\r\nRING\r\n\r\n+CMTI: "SM",3\r\n\r\n> '
    for cut in range(len(data)):
        lines = Lines()
        assert lines.feed(data[:cut]) + lines.feed(data[cut:]) == ["RING", '+CMTI: "SM",3', ">"]
        assert lines.take_noise() == 0
    lines = Lines()
    lines.feed(data)
    assert lines.feed(b"\r\n+CMGS: 7\r\n\r\nOK\r\n") == ["+CMGS: 7", "OK"]


def test_an_overlong_line_and_one_that_is_no_ascii_are_noise() -> None:
    lines = Lines()
    for _ in range(100):
        assert lines.feed(b"x" * 100) == []
    assert len(lines._unread) <= LINE_BYTES_MAX + 1
    assert lines.feed(b"\r\n\xff\xfe\r\nOK\r\n") == ["OK"]
    assert lines.take_noise() == 2


@given(st.lists(st.binary(max_size=100)))
@settings(derandomize=True, max_examples=200, deadline=None)
def test_whatever_comes_the_next_answer_is_read(parts: list[bytes]) -> None:
    lines = Lines()
    for part in parts:
        for line in lines.feed(part):
            explain(line), is_final(line), REGISTERED.fullmatch(line)
    lines.feed(b"\r\n")
    assert lines.feed(b"\r\nOK\r\n") == ["OK"]


@pytest.mark.parametrize(
    ("line", "state"),
    [("+CREG: 0,1", "1"), ('+CREG: 2,5,"1A2B","01C3",7', "5"), ("+CEREG: 0,3", "3"), ("+CREG: 1", "1"), ("OK", "")],
)
def test_the_state_of_the_network_is_found_in_a_line(line: str, state: str) -> None:
    found = REGISTERED.fullmatch(line)
    assert (found[1] if found else "") == state


def test_a_text_of_plain_characters_is_typed_as_it_is_and_cut_at_160() -> None:
    assert message("Baita Road kiosk: panic, alarm-1, 01:52") == (False, "Baita Road kiosk: panic, alarm-1, 01:52")
    assert message("x" * 200) == (False, "x" * 160)


def test_a_chinese_text_is_typed_as_ucs2_and_cut_at_70() -> None:
    assert message("紧急") == (True, "7D276025")
    assert message("紧" * 80) == (True, "7D27" * 70)


@pytest.mark.parametrize("text", ["a_b", "a@b", "10 $", "[x]", "{x}", "~", "é"])
def test_what_has_another_code_in_the_alphabet_of_gsm_goes_as_ucs2(text: str) -> None:
    assert message(text) == (True, ucs2(text))


def test_a_character_of_two_units_is_never_cut_in_two() -> None:
    wide, typed = message("紧" * 69 + "😀")
    assert (wide, typed) == (True, "7D27" * 69)


def test_no_control_character_is_typed() -> None:
    assert message("a\x1ab\x1b\r\nAT") == (True, ucs2("a\x1ab\x1b AT"))


def test_an_error_is_told_in_words_with_its_number() -> None:
    assert explain("+CMS ERROR: 38") == "the network is out of order (+CMS ERROR: 38)"
    assert explain("+CME ERROR: 10") == "no SIM is in the modem (+CME ERROR: 10)"
    assert explain("+CMS ERROR: 255") == "+CMS ERROR: 255"
    assert explain("ERROR") == "ERROR"
    assert is_final("+CMS ERROR: 30")
    assert not is_final("+CMS ERROR: 38")
    assert not is_final("+CME ERROR: 30")
