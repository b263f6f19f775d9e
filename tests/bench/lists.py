"""A code looked up in a list of a million, plain and hashed, beside a set in memory and a plain SQLite statement.

The lists are brought as central does it, a version in parts of 2,000 codes, each a transaction with its fsync. Half of
the codes that are asked for are on the list. CALLBOX_CODES lowers the million, for a quick try.
"""

import os
import random
import sqlite3
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final

from agent.config import CodeList
from agent.list_file import FILE, ListFile
from agent.lists_mail import ChangeList, Entry, LookUp
from bench.figures import Row, digits, quantile

CODES: Final = int(os.environ.get("CALLBOX_CODES", "1_000_000"))
PART: Final = 2_000
ASKED: Final = 5_000
LIMIT_S: Final = 0.001
LISTS: Final = {
    "plain": CodeList(name="plain", kind="allow", hashed=False),
    "hashed": CodeList(name="hashed", kind="watch", hashed=True),
}


def code(number: int) -> str:
    """As on a ticket."""
    return f"T-2026-{number * 7_919 % 100_000_007:09d}"


def bring(file: ListFile, name: str) -> float:
    """The list as one version; the seconds of the last command, which sorts it and makes it valid."""
    for first in range(0, CODES, PART):
        part = tuple(Entry(code(number)) for number in range(first, min(CODES, first + PART)))
        assert not file.change(ChangeList(1, name, part, version="1")).reason
    began_s = time.perf_counter()
    assert not file.change(ChangeList(2, name, (), version="1", count=CODES)).reason
    return time.perf_counter() - began_s


def asked_s(ask: Callable[[str], bool], numbers: Sequence[int]) -> list[float]:
    """How long each answer took; each must be right."""
    took = []
    for number in numbers:
        wanted, text = number < CODES, code(number)
        began_s = time.perf_counter()
        on_it = ask(text)
        took.append(time.perf_counter() - began_s)
        assert on_it is wanted
    return took


def found(file: ListFile, name: str, text: str) -> bool:
    return bool(file.look_up(LookUp(1, (name,), text, 0.0)).found)


def us(seconds: Sequence[float]) -> str:
    """Median / 99th percentile."""
    return " / ".join(digits(quantile(seconds, share) * 1e6) for share in (0.5, 0.99)) + " us"


def rows() -> list[Row]:
    numbers = random.Random(1).sample(range(2 * CODES), min(ASKED, CODES))
    made = []
    with tempfile.TemporaryDirectory(prefix="callbox-bench-") as folder:
        in_memory = {code(number) for number in range(CODES)}
        beside = asked_s(in_memory.__contains__, numbers)
        with closing(sqlite3.connect(Path(folder, "bare.db"), isolation_level=None)) as bare:
            bare.execute("CREATE TABLE codes (code TEXT PRIMARY KEY) WITHOUT ROWID")
            bare.execute("BEGIN")
            bare.executemany("INSERT INTO codes VALUES (?)", sorted((each,) for each in in_memory))
            bare.execute("COMMIT")
            statement = asked_s(
                lambda text: bare.execute("SELECT 1 FROM codes WHERE code=?", (text,)).fetchone() is not None, numbers
            )
        for name in LISTS:
            path = Path(folder, name)
            path.mkdir()
            file = ListFile(path / FILE, LISTS, b"0123456789abcdef")
            began_s = time.perf_counter()
            valid_s = bring(file, name)
            brought_s = time.perf_counter() - began_s
            took = asked_s(partial(found, file, name), numbers)
            late_s = quantile(took, 0.99)
            ratio = quantile(took, 0.5) / quantile(statement, 0.5)
            file.close()
            size = f"{sum(each.stat().st_size for each in path.iterdir()) / 1e6:.0f} MB"
            made += [
                Row(
                    f"a code in a {name} list of {CODES:,}",
                    us(took),
                    f"a plain statement: {us(statement)}",
                    ratio,
                    "p99 at most 1 ms",
                    late_s <= LIMIT_S,
                ),
                Row(
                    f"that list brought, {PART:,} codes a command",
                    f"{digits(brought_s)} s",
                    f"{size}; the last command {digits(valid_s)} s",
                ),
            ]
    return [*made, Row("a set in memory", us(beside))]
