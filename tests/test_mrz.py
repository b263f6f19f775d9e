"""The machine-readable zone: the specimens of ICAO Doc 9303, typed by hand, and what OCR makes of them."""

import random
from dataclasses import asdict

import pytest

from agent.camera_words import codes_read
from drivers.mrz import Document, check_digit, find

TD3 = ["P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<", "L898902C36UTO7408122F1204159ZE184226B<<<<<10"]
TD2 = ["I<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<", "D231458907UTO7408122F1204159<<<<<<<6"]
TD1 = ["I<UTOD231458907<<<<<<<<<<<<<<<", "7408122F1204159UTO<<<<<<<<<<<6", "ERIKSSON<<ANNA<MARIA<<<<<<<<<<"]
MRVA = ["V<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<", "L8988901C4XXX4009078F96121096ZE184226B<<<<<<"]
MRVB = ["V<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<", "L8988901C4XXX4009078F9612109<<<<<<<<"]
LONG_TD2 = ["I<UTOSTEVENSON<<PETER<JOHN<<<<<<<<<<", "D23145890<UTO3407127M95071227349<<<8"]
LONG_TD1 = ["I<UTOD23145890<7349<<<<<<<<<<<", "3407127M9507122UTO<<<<<<<<<<<2", "STEVENSON<<PETER<JOHN<<<<<<<<<"]
PASSPORT = Document("td3", "P", "UTO", "L898902C3", "2012-04-15")


def test_check_digits_have_the_weights_seven_three_one() -> None:
    """L898902C36UTO7408122F1204159ZE184226B<<<<<10 has the digits 6, 2, 9, 1 and 0."""
    assert check_digit("L898902C3") == "6"
    assert check_digit("740812") == "2"
    assert check_digit("120415") == "9"
    assert check_digit("ZE184226B<<<<<") == "1"
    assert check_digit("L898902C3674081221204159ZE184226B<<<<<1") == "0"
    assert check_digit("AB2134<<<") == "5"  # the example of part 3, 4.9: 10*7+11*3+2*1+1*7+3*3+4*1 = 125


@pytest.mark.parametrize(
    ("lines", "document"),
    [
        (TD3, PASSPORT),
        (TD2, Document("td2", "I", "UTO", "D23145890", "2012-04-15")),
        (TD1, Document("td1", "I", "UTO", "D23145890", "2012-04-15")),
        (MRVA, Document("mrva", "V", "UTO", "L8988901C", "1996-12-10")),
        (MRVB, Document("mrvb", "V", "UTO", "L8988901C", "1996-12-10")),
        (LONG_TD2, Document("td2", "I", "UTO", "D23145890734", "1995-07-12")),
        (LONG_TD1, Document("td1", "I", "UTO", "D23145890734", "1995-07-12")),
    ],
    ids=["td3", "td2", "td1", "mrva", "mrvb", "td2 with a long number", "td1 with a long number"],
)
def test_each_form_of_document_is_read_from_its_specimen(lines: list[str], document: Document) -> None:
    assert find(lines) == document
    assert find(["REPUBLIC OF UTOPIA", "PASSPORT", *lines, "12345"]) == document


@pytest.mark.parametrize(
    "second",
    [
        "L8989O2C36UTO7408122F1204159ZE184226B<<<<<10",  # O in the number, 0 by its check digit
        "L898902C36UT07408122F1204159ZE184226B<<<<<10",  # 0 where letters stand
        "L898902C36UTO74O8I22F12O41S9ZE184226B<<<<<1O",  # letters where digits stand
        "L898902C36UTO7408122F1204159ZE184226B<<<<10",  # a filler too few
        "L898902C36UTO7408122F1204159ZE184226B<<<<<<<10",  # and two too many
        "l898902c36 uto7408122f1204159 ze184226b <<<<<10",
        "L898902C36UTO7408122F1204159ZE184226B«‹＜〈10",
    ],
)
def test_what_ocr_takes_for_each_other_is_told_apart_by_its_position(second: str) -> None:
    assert find([TD3[0], second]) == PASSPORT


@pytest.mark.parametrize("begins", ["|<UT0", "1<UT0", "一ヘUT0", "Ｉ＜ＵＴ０"])
def test_what_ocr_makes_of_the_begin_of_a_card_is_understood(begins: str) -> None:
    found = find([begins + TD1[0][5:].replace("<<<<", "へヘへ<"), TD1[1].replace("UTO", "ＵＴ0"), TD1[2]])
    assert found == Document("td1", "I", "UTO", "D23145890", "2012-04-15")


def test_a_number_that_has_an_o_keeps_it_where_its_check_digit_says_so() -> None:
    number = "AO0123456"
    line = number + check_digit(number) + "UTO7408122F1204159<<<<<<<<<<<<<<0"
    composite = check_digit(line[:10] + line[13:20] + line[21:43])
    for read in (line, line.replace("AO0", "AOO"), line.replace("AO0", "A00")):
        found = find([TD3[0], read + composite])
        assert found is not None
        assert (found.number, found.wrong) == (number, ())


def test_the_check_digits_that_are_wrong_are_named() -> None:
    forged = find([TD3[0], "L898902C46UTO7408122F1204159ZE184226B<<<<<10"])
    assert forged == Document("td3", "P", "UTO", "L898902C4", "2012-04-15", ("number", "composite"))
    older = find([TD3[0], "L898902C36UTO7408122F2204159ZE184226B<<<<<10"])
    assert older is not None
    assert (older.expires, older.wrong) == ("2022-04-15", ("expires", "composite"))
    card = find([TD1[0], "7408132F1204159UTO<<<<<<<<<<<6", TD1[2]])
    assert card is not None
    assert card.wrong == ("birth", "composite")


def test_a_date_that_is_none_is_left_out() -> None:
    endless = find([TD2[0], "D231458907UTO7408122F<<<<<<0<<<<<<<6"])
    assert endless is not None
    assert endless.expires == ""
    for wrong in ("120231", "121301", "120400", "12041A"):
        found = find([TD2[0], f"D231458907UTO7408122F{wrong}0<<<<<<<6"])
        assert found is not None
        assert found.expires == ""


def test_whatever_a_paper_says_is_of_the_form_that_the_daemon_takes() -> None:
    """Else a forged paper would look to the daemon like a camera process that has gone mad."""
    rng = random.Random(1)
    for _ in range(20_000):
        lines = [list(line) for line in rng.choice([TD3, TD2, TD1, MRVA, MRVB, LONG_TD2, LONG_TD1])]
        for _ in range(rng.randrange(12)):
            line = rng.choice(lines)
            line[rng.randrange(len(line))] = rng.choice("<<ABOIPV0139")
        document = find(["".join(line) for line in lines])
        if document:
            told = {"ref": "1", "at_s": 1.0, "codes": [{"format": document.layout, "document": asdict(document)}]}
            assert codes_read("under", told, "").found


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["P"],
        TD3[:1],
        TD3[::-1],
        ["<" * 44] * 2,
        ["P" + "<" * 43] * 2,
        ["A" * 30] * 3,
        ["PAY TO THE ORDER OF SOMEBODY IN SOME PLACE", "L898902C36UTO7408122F1204159 AND SO ON, ON"],
        ["A" * 44, "B" * 44],
        ["第一行", "第二行"],
    ],
)
def test_what_is_no_zone_is_no_document(lines: list[str]) -> None:
    assert find(lines) is None


def test_nothing_of_the_holder_is_handed_out() -> None:
    told = repr([find(lines) for lines in (TD3, TD2, TD1, MRVA, MRVB)])
    for secret in ("ERIKSSON", "ANNA", "740812", "1974", "ZE184226B"):
        assert secret not in told
