"""Files of evidence at central's bench: made, sent, and looked for on its disk and in its receipts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from central_bench import Bench
from clips import Stored, stored
from fakebox import FakeBox

CASE = "01a200e4-24bf-70ff-9531-985d5d9dc9f8"


def file_of(size: int, seed: int = 1, **more: Any) -> Stored:
    """Bytes that nobody can play."""
    return stored(bytes((seed * 7 + at) % 251 for at in range(size)), "video/mp2t", 1_790_000_000.0, **more)


def named(bench: Bench, box: FakeBox, *files: Stored, **data: Any) -> None:
    bench.send(box, "state", box.state())
    bench.send(box, "event/status", box.evidence(CASE, "front", *(file.entry for file in files), **data))


def sends(bench: Bench, box: FakeBox, file: Stored, *numbers: int, size: int = 4096) -> None:
    pieces = file.pieces(size)
    for number in numbers or range(len(pieces)):
        bench.send(box, *pieces[number])


def here(bench: Bench, file: Stored) -> bytes | None:
    path = Path(f"{bench.path}.media") / file.sha256
    return path.read_bytes() if path.exists() else None


def part(bench: Bench, box: FakeBox, file: Stored) -> Path:
    return Path(f"{bench.path}.media") / f"{box.name.replace('/', '.')}.{file.sha256}.part"


def says(file: Stored, size: int) -> Callable[[list[dict[str, Any]]], bool]:
    """The newest receipt that names the file says so many bytes."""
    return lambda receipts: (
        [r["media"][file.sha256] for r in receipts if file.sha256 in r.get("media", {})][-1:] == [size]
    )


def shown(bench: Bench, camera: int = 0, file: int = 0) -> dict[str, Any]:
    return bench.shown()["evidence"][0]["cameras"][camera]["files"][file]  # type: ignore[no-any-return]


def tells(journal: str, file: Stored) -> Callable[[list[dict[str, Any]]], bool]:
    """A receipt for this journal says that the file is here."""
    return lambda receipts: any(
        receipt["journal"] == journal and receipt.get("media", {}).get(file.sha256) == len(file.data)
        for receipt in receipts
    )
