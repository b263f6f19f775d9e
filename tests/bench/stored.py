"""A central in a process of its own that says when it has what: `python -m bench.stored BROKER_URL STORE.db`.

It is the simulated central as it is, with a store that prints `SEQ MONOTONIC_S` for each event after the commit that
put it on the disk, and `listening` when it has started. It ends with its stdin.
"""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from simulators.central import server
from simulators.central.store import Record, Store


class TellingStore(Store):
    """Prints what is on the disk as soon as it is."""

    _taken: tuple[int, ...] = ()

    def add(self, record: Record) -> Literal["new", "repeat", "other"]:
        self._taken += (record.event.seq,)
        return super().add(record)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self._taken = ()
        with super().transaction():
            yield
        now_s, taken = time.monotonic(), self._taken
        if taken:
            tell("\n".join(f"{seq} {now_s}" for seq in taken))


def tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    logging.disable()
    vars(server)["Store"] = TellingStore
    url, store = sys.argv[1:]
    central = server.Central(url, store, 0)
    central.start()
    tell("listening")
    sys.stdin.read()
    central.stop()


if __name__ == "__main__":
    main()
