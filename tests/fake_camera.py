"""A process of a camera that does as it is told in its arguments: what `agent/cameras.py` may meet. A program.

    python fake_camera.py DIRECTORY WHAT [LINE]

It notes each of its lives in DIRECTORY/lives, and the first line that it was told in DIRECTORY/first.
"""

import json
import os
import select
import signal
import sys
import time
from pathlib import Path


def say(words: object) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def beat(seen_s: float | None, rss_bytes: int = 50_000_000) -> None:
    say({"beat": {"seen_s": seen_s, "rss_bytes": rss_bytes, "packets": 7}})


def listen(*, ends: bool = True) -> None:
    """Beats, and says each word that it hears, until the end of its input."""
    rest = b""
    while True:
        beat(time.monotonic())
        if select.select([0], [], [], 0.1)[0]:
            data = os.read(0, 65_536)
            if not data and ends:
                return
            if not data:
                signal.pause()
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                say({"quality": "gap", "reason": line.decode()})


def main() -> None:
    folder, what, *more = sys.argv[1:]
    first = b""
    while not first.endswith(b"\n"):
        first += os.read(0, 1)
    Path(folder, "first").write_bytes(first)
    with Path(folder, "lives").open("a", encoding="ascii") as lives:
        lives.write(f"{os.getpid()}\n")
    match what:
        case "well":
            say({"quality": "good", "reason": ""})
            listen()
        case "stubborn":  # it does not end with its input
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            listen(ends=False)
        case "mute":
            signal.pause()
        case "silent":
            beat(None)
            signal.pause()
        case "starved":
            say({"quality": "good", "reason": ""})
            while True:
                beat(time.monotonic() - 3_600)
                select.select([], [], [], 0.05)
        case "grown":
            beat(time.monotonic(), 2_000_000_000)
            listen()
        case "endless":
            while True:
                os.write(1, b"x" * 65_536)
        case "chatty":
            while True:
                say({"quality": "good", "reason": ""})
        case "dies":
            sys.exit(3)
        case "crashes":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "closes":
            os.close(1)
            signal.pause()
        case "tells":  # what it was told, on all its channels
            source = json.loads(first)["source"]
            os.write(2, source.encode())
            say({"quality": "offline", "reason": f"cannot open {source}"})
            os.write(1, source.encode() + b"\n")
            listen()
        case "says":
            os.write(1, os.fsencode(more[0]) + b"\n")
            listen()


if __name__ == "__main__":
    main()
