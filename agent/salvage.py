"""What can still be read of a journal that was moved aside: events that nobody has may be among it.

Nothing there is trusted but the box's own signature: an event that carries it is whole, wherever its bytes were found.
"""

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from agent.events import Event
from agent.identity import signed_by
from agent.kinds import CLASSES, class_of

EVENTS_MAX: Final = 10_000
BYTES_MAX: Final = 16_777_216
WAL_BYTES_MAX: Final = 67_108_864
BODY: Final = re.compile(
    rb'(?=(\{"boot":"[^"]{1,40}","boxseq":\d+,"data":[^\x00]{40,65000}?,"type":"callbox\.[a-z.]+"\}))'
)
"""An event as it stands in a page, also behind the beginning of one that was overwritten."""


def salvage(file: Path, public: bytes) -> list[Event]:
    """Events with this key's signature: those owed, by class, and those that only the WAL has. Alarms first.

    file: the journal, its WAL beside it. What cannot be read is passed over; at most EVENTS_MAX events and
    about BYTES_MAX bytes are read.
    """
    found: dict[str, Event] = {}
    size = 0
    wal = file.with_name(f"{file.name}-wal")
    # Without a WAL nothing is to be made beside the file: it stays as it was found.
    how = "mode=ro" if wal.exists() and wal.stat().st_size else "immutable=1"
    for body in (*_owed(f"{file.absolute().as_uri()}?{how}"), *_in_wal(wal)):
        if len(found) == EVENTS_MAX or size > BYTES_MAX:
            break
        with suppress(ValueError, KeyError, TypeError):
            event = json.loads(body)
            if event["id"] not in found and signed_by(public, event):
                cls = class_of(event["type"].removeprefix("callbox."))
                found[event["id"]] = Event(event["boxseq"], cls, body)
                size += len(body)
    return sorted(found.values(), key=lambda event: (event.cls != "alarm", event.seq))


def _owed(uri: str) -> Iterator[bytes]:
    for number in range(len(CLASSES)):
        with suppress(sqlite3.Error), closing(sqlite3.connect(uri, uri=True)) as sql:
            for [seq] in sql.execute("SELECT seq FROM owed WHERE class=? ORDER BY seq", [number]):
                with suppress(sqlite3.Error):  # one by one: a damaged page costs those in it, and no more
                    for [body] in sql.execute("SELECT body FROM events WHERE seq=?", [seq]):
                        yield bytes(body)


def _in_wal(file: Path) -> Iterator[bytes]:
    with suppress(OSError), file.open("rb") as wal:
        for found in BODY.finditer(wal.read(WAL_BYTES_MAX)):
            yield found[1]
