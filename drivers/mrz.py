"""The machine-readable zone of passports, cards and visas, out of lines as OCR reads them. Pure.

    lines -> fitted to 30, 36 or 44 characters -> letters and digits by position -> Zone, or None
                                                                        -> Document: nothing of its holder

After ICAO Doc 9303 (2021): check digits part 3, 4.9; TD1 part 5, TD2 part 6, TD3 part 4, visas (MRV-A, MRV-B) part 7.
A camera's process hands out a Document alone; a scanner's driver the whole Zone, of which the agent keeps what it may.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import combinations
from typing import Final, Literal
from unicodedata import normalize

Check = Literal["number", "birth", "expires", "optional", "composite"]
Layout = Literal["td1", "td2", "td3", "mrva", "mrvb"]

DIGITS: Final = str.maketrans("OQDILZSGB", "000112568")
LETTERS: Final = str.maketrans("012568", "OIZSGB")
"""What OCR takes for each other; where the layout has digits alone, or letters alone, it is known which is meant."""
TWIN: Final = {"O": "0", "0": "O"}
TWINS_MAX: Final = 10
"""So many of them are tried both ways: a number has 9 characters, and 2^23 ways of a long one would take minutes."""
ADJUST_MAX: Final = 4
"""So many fillers may be missing or too many in the longest run of a line: OCR counts them badly."""
RIGHT_MIN: Final = 2
"""Check digits that must be right in lines of the right form, before it is said to be a document."""
CENTURY_PIVOT: Final = 70
"""A year from here on is of the 20th century: the zone has two digits, and nothing is valid for so long."""


@dataclass(frozen=True, slots=True)
class Zone:
    """All that a zone says. fields, wrong: as in `drivers.contract.Paper`, each field there, "" where it has none."""

    layout: Layout
    fields: Mapping[str, str]
    wrong: tuple[Check, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """What a zone says of a paper, and nothing of its holder.

    type: `P`, `I`, `AC`, `V` ...; issuer: code of a state or organisation, as `UTO`; expires: YYYY-MM-DD, "" where it
    has none or none that is a date. wrong: the check digits that are wrong.
    """

    layout: Layout
    type: str
    issuer: str
    number: str
    expires: str
    wrong: tuple[Check, ...] = ()


def check_digit(text: str) -> str:
    """Weights 7, 3, 1; a digit counts as itself, A to Z as 10 to 35, a filler as 0 (part 3, 4.9)."""
    values = (0 if char == "<" else int(char, 36) for char in text)
    return str(sum(value * (7, 3, 1)[at % 3] for at, value in enumerate(values)) % 10)


def find(lines: Sequence[str]) -> Document | None:
    """The document in lines of text, as `read`, without its holder."""
    if (zone := read(lines)) is None:
        return None
    told = zone.fields
    return Document(zone.layout, told["type"], told["issuer"], told["number"], _date(told["expires"]), zone.wrong)


def read(lines: Sequence[str]) -> Zone | None:
    """The zone in lines of text, from top to bottom; of several readings the one with the most digits right."""
    plain = [_plain(line) for line in lines]
    found = [(right, zone) for right, zone in _readings(plain) if right >= RIGHT_MIN]
    return max(found, key=lambda each: each[0])[1] if found else None


def _plain(line: str) -> str:
    line = re.sub(r"[«≪《]", "<<", normalize("NFKC", line).upper())
    line = re.sub(r"[‹〈ヘへ]", "<", line)
    return re.sub(r"\s", "", re.sub(r"[|!一丨]", "I", line))


def _fit(line: str, length: int) -> str | None:
    """The line with as many fillers in its longest run as make it that long; None where that is not the fault."""
    missing = length - len(line)
    if not re.fullmatch("[A-Z0-9<]+", line) or abs(missing) > ADJUST_MAX:
        return None
    if missing == 0:
        return line
    run = max(re.finditer("<+", line), key=lambda run: len(run[0]), default=None)
    if run is None or len(run[0]) < 2 or len(run[0]) + missing < 1:
        return None
    return line[: run.start()] + "<" * (len(run[0]) + missing) + line[run.end() :]


def _readings(lines: list[str]) -> Iterator[tuple[int, Zone]]:
    """Each reading of neighbouring lines, with how many of its check digits are right."""
    for at in range(len(lines) - 1):
        for length in (44, 36):
            pair = [_fit(line, length) for line in lines[at : at + 2]]
            if pair[0] and pair[1] and pair[0][0].translate(LETTERS) in "ACIPV":
                yield _two_lines(pair[0], pair[1])
        three = [_fit(line, 30) for line in lines[at : at + 2]]
        if at + 2 < len(lines) and three[0] and three[1] and three[0][0].translate(LETTERS) in "ACI":
            yield _three_lines(three[0], three[1], _fit(lines[at + 2], 30) or "")


def _two_lines(first: str, second: str) -> tuple[int, Zone]:
    """TD3 and MRV-A have 44 characters, TD2 and MRV-B 36; a visa has no composite check digit."""
    passport, visa = len(second) == 44, first[0] == "V"
    number, birth, expires, rest = second[:10], _digits(second[13:20]), _digits(second[21:28]), second[28:]
    optional, more = "", rest
    if not visa and passport:
        more = rest[:14]
        optional, rest = rest[:14] + _digits(rest[14]), rest[14] + _digits(rest[15])
    elif not visa:
        more = rest[:-1]
        rest = more + _digits(rest[-1])
    number, long, more = _number(number, more, goes_on=not (visa or passport))
    composite = "" if visa else number + birth + expires + (optional or rest[:-1]) + rest[-1]
    layout: Layout = ("mrva" if passport else "mrvb") if visa else ("td3" if passport else "td2")
    said = _said(first, first[5:], second[10:13], second[20], more, "")
    return _zone(layout, said, long, birth, expires, optional, composite)


def _three_lines(first: str, second: str, third: str) -> tuple[int, Zone]:
    birth, expires, rest = _digits(second[:7]), _digits(second[8:15]), second[18:29] + _digits(second[29])
    number, long, more = _number(first[5:15], first[15:], goes_on=True)
    composite = number + first[15:] + birth + expires + rest
    said = _said(first, third, second[15:18], second[7], more, second[18:29])
    return _zone("td1", said, long, birth, expires, "", composite)


def _said(first: str, names: str, nationality: str, sex: str, optional: str, optional2: str) -> dict[str, str]:
    """The fields without a check digit of their own. Two fillers part surname and given names (part 3, 4.6)."""
    surname, _, given = names.translate(LETTERS).partition("<<")
    return {
        "type": first[:2].translate(LETTERS).rstrip("<"),
        "issuer": first[2:5].translate(LETTERS).rstrip("<"),
        "nationality": nationality.translate(LETTERS).rstrip("<"),
        "surname": _words(surname),
        "given_names": _words(given),
        "sex": sex.strip("<"),
        "optional": _words(optional),
        "optional2": _words(optional2),
    }


def _words(text: str) -> str:
    return " ".join(text.replace("<", " ").split())


def _zone(
    layout: Layout, said: dict[str, str], number: str, birth: str, expires: str, optional: str, composite: str
) -> tuple[int, Zone]:
    """Each of the last five ends in its check digit; "" where the layout has none."""
    fields: dict[Check, str] = {
        "number": number,
        "birth": birth,
        "expires": expires,
        "optional": optional,
        "composite": composite,
    }
    told = {name: text for name, text in fields.items() if text}
    wrong = tuple(name for name, text in told.items() if not _right(text))
    proved = [name for name, text in told.items() if name not in wrong and text.strip("<")]
    dates = {"birth": birth[:6].strip("<"), "expires": expires[:6].strip("<")}
    return len(proved), Zone(layout, {**said, "number": number[:-1].rstrip("<"), **dates}, wrong)


def _digits(text: str) -> str:
    return text.translate(DIGITS)


def _right(field: str) -> bool:
    """Whether it ends in its check digit. One of fillers alone may end in a filler too (part 4, 4.2.2.2)."""
    return field[-1] == check_digit(field[:-1]) or not field.strip("<")


def _number(field: str, optional: str, *, goes_on: bool) -> tuple[str, str, str]:
    """The document number with its check digit: as it stands in the field, and whole; what is left of `optional`.

    A filler in place of the check digit: the number goes on in the optional data, up to its check digit and a filler
    (part 5, note j), where the layout has that. Letters and digits both may stand in a number; O and 0 are told apart
    by its check digit, where one way alone is right with the fewest of them changed.
    """
    last = field[9].translate(DIGITS)
    more = re.match("[A-Z0-9]+", optional) if goes_on and last == "<" else None
    whole = field[:9] + (more[0][:-1] + _digits(more[0][-1]) if more else last)
    twins = [at for at, char in enumerate(whole[:-1]) if char in TWIN][:TWINS_MAX]
    for changed in range(len(twins) + 1):
        tried = [_swapped(whole, places) for places in combinations(twins, changed)]
        right = [text for text in tried if _right(text)]
        if right:
            whole = right[0] if len(right) == 1 else whole
            break
    return whole[:9] + last, whole, optional[more.end() :] if more else optional


def _swapped(text: str, places: Sequence[int]) -> str:
    return "".join(TWIN[char] if at in places else char for at, char in enumerate(text))


def _date(text: str) -> str:
    """YYMMDD as YYYY-MM-DD, "" where it is none."""
    try:
        year = int(text[:2])
        return date(year + (1900 if year >= CENTURY_PIVOT else 2000), int(text[2:4]), int(text[4:])).isoformat()
    except ValueError:
        return ""
