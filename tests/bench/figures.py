"""Numbers into words: quantiles, ratios, and tables in Markdown that can be read as they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from statistics import median
from typing import Literal
from unicodedata import east_asian_width

Bound = Literal["at least", "at most"]
RIGHT = "0123456789<>-"
"""A column whose cells begin with one of these is set to the right."""


@dataclass(frozen=True)
class Row:
    """One thing that was measured. `beside` is what it is compared with, `ratio` itself divided by that.

    limit: `at least 0.9`, in words, and met whether it is kept; None where nothing was promised.
    """

    name: str
    value: str
    beside: str = ""
    ratio: float | None = None
    limit: str = ""
    met: bool | None = None


def quantile(values: Sequence[float], share: float) -> float:
    """By nearest rank; share 0 to 1. Raises ValueError without values."""
    if not values:
        raise ValueError("no values")
    return sorted(values)[max(0, ceil(len(values) * share) - 1)]


def ms(seconds: Sequence[float]) -> str:
    """Median / 99th percentile; `-` without any."""
    if not seconds:
        return "-"
    middle, late = (quantile(seconds, share) * 1000 for share in (0.5, 0.99))
    return f"{digits(middle)} / {digits(late)} ms"


def spread(values: Sequence[float], unit: str = "") -> str:
    """The median of some runs and their range; `-` without any."""
    if len(values) < 2:
        return f"{digits(values[0])} {unit}".rstrip() if values else "-"
    middle, low, high = (digits(value) for value in (median(values), min(values), max(values)))
    return f"{middle} ({low} to {high}) {unit}".rstrip()


def digits(value: float) -> str:
    """Three that count; thousands with commas."""
    if abs(value) >= 1000:
        return f"{float(f'{value:.3g}'):,.0f}"
    places = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    return f"{value:.{places}f}"


def bounded(value: float, bound: Bound, limit: float) -> tuple[str, bool]:
    """What `Row` calls limit and met."""
    return f"{bound} {limit:g}", value >= limit if bound == "at least" else value <= limit


def rows_of(
    name: str, values: Sequence[float], beside: str, others: Sequence[float], median_max: float, p99_max: float
) -> list[Row]:
    """Two rows, of the medians and of the 99th percentiles; seconds, told in ms."""
    rows = []
    for word, share, limit in (("median", 0.5, median_max), ("p99", 0.99, p99_max)):
        ours, theirs = quantile(values, share), quantile(others, share)
        ratio = ours / theirs
        told = (f"{digits(ours * 1000)} ms", f"{beside}: {digits(theirs * 1000)} ms")
        rows.append(Row(f"{name}, {word}", *told, ratio, *bounded(ratio, "at most", limit)))
    return rows


def table(rows: Sequence[Row]) -> list[str]:
    """The rows as Markdown."""
    words = {True: "yes", False: "**no**", None: ""}
    cells = [
        [
            row.name,
            row.value,
            row.beside,
            "" if row.ratio is None else f"{digits(row.ratio)}x",
            row.limit,
            words[row.met],
        ]
        for row in rows
    ]
    return grid(["", "measured", "beside", "ratio", "limit", "met"], cells)


def grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Markdown, its columns aligned; Chinese counts as two columns a character."""
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(head)
    widths = [max(3, *map(_width, (title, *cells))) for title, cells in zip(head, columns, strict=True)]
    rights = [all(cell == "" or cell[0] in RIGHT for cell in cells) and any(cells) for cells in columns]

    def line(cells: Sequence[str]) -> str:
        padded = []
        for cell, width, right in zip(cells, widths, rights, strict=True):
            space = " " * (width - _width(cell))
            padded.append(space + cell if right else cell + space)
        return "| " + " | ".join(padded) + " |"

    rule = [("-" * (width - 1) + (":" if right else "-")) for width, right in zip(widths, rights, strict=True)]
    return [line(head), "| " + " | ".join(rule) + " |", *map(line, rows)]


def _width(text: str) -> int:
    return sum(2 if east_asian_width(character) in "WF" else 1 for character in text)
