"""SIGKILL of the daemon and of its cameras' processes while evidence goes out over 64 kbit/s.

In `make test` a few; `CALLBOX_EVIDENCE_KILLS=100` in `make soak`, `CALLBOX_SEED` to play one again.
"""

import os
import random
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from real_box import ROOT, Peer, RealBox, until
from seeing_box import IDENTITY, button, camera_of, ended, files, ready
from sim_camera import SimCamera

from agent.uploads import PIECE_BYTES, UNSTORED_MAX

pytestmark = [pytest.mark.real, pytest.mark.timeout(3600)]

KILLS = int(os.environ.get("CALLBOX_EVIDENCE_KILLS", "3"))
SEED = int(os.environ.get("CALLBOX_SEED", "4"))
LINE_KBPS = 64
QUIET_S = (0.5, 3.0)
"""From one kill to the next."""
PRESS_EVERY = 4
"""Kills from one press to the next."""
ALARM_S = 1.0
AT_REST_S = 1.0
"""A press is timed against the limit when the box has had its session for so long, and no kill comes meanwhile."""


class Sent:
    """What went past the broker: of each file how often each byte did."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    def pieces(self) -> list[tuple[str, int, int]]:
        """(file, first, end) in their order."""
        found = []
        for topic, payload, _ in list(self._peer.heard):
            part, _, rest = topic.partition("/")
            if part == "media":
                name, _, offset = rest.partition("/")
                found.append((name, int(offset), int(offset) + len(payload)))
        return found

    def again(self) -> Counter[str]:
        """Bytes of each file that went past more than once."""
        reached: Counter[str] = Counter()
        again: Counter[str] = Counter()
        for name, first, end in self.pieces():
            again[name] += max(0, min(end, reached[name]) - first)
            reached[name] = max(end, reached[name])
        return again


def test_no_file_suffers_from_a_kill_nor_does_an_alarm_wait(tmp_path: Path) -> None:
    rng, late_s, daemons = random.Random(SEED), [], 0
    with (
        SimCamera(codec="h264", size="128x96", fps=5, gop=5) as eye,
        RealBox(
            tmp_path,
            inputs=[button("front", "side")],
            cameras=[camera_of(eye.url), camera_of(eye.url, "side")],
            evidence={"recipients": [str(IDENTITY.to_public())]},
        ) as box,
    ):
        box.broker.start()
        box.start_central()
        with Peer(box.broker.port, topics=f"{ROOT}/#") as peer:
            box.power_on()
            box.armed()
            ready(box)
            ready(box, "side")
            box.wan.set_rate(LINE_KBPS)
            pressed = 0
            for kill in range(KILLS):
                if kill % PRESS_EVERY == 0:
                    late_s.append(alarm_to_central(box))
                    pressed += 1
                threading.Event().wait(rng.uniform(*QUIET_S))  # the kill falls into whatever it falls into
                cameras = children(box)
                if cameras and rng.random() < 0.5:
                    subprocess.run(["kill", "-9", str(rng.choice(cameras))], check=False)  # it may just have ended
                else:
                    box.kill()
                    box.power_on()
                    box.armed()
                    daemons += 1
            box.wan.set_rate(None)
            told = [each for name in ("front", "side") for each in ended(box, name, cases=1)]
            found = files(box, told)
            again = Sent(peer).again()
    named = {file["sha256"]: file["bytes"] for data in told for file in data["files"]}
    assert len(found) == len(named) > 0
    window = UNSTORED_MAX * PIECE_BYTES
    worst = max(again.values(), default=0)
    print(  # noqa: T201  the figures of a long run
        f"seed {SEED}: {KILLS} kills ({daemons} of the daemon), {pressed} alarms, the slowest {max(late_s):.2f} s; "
        f"{len(named)} files, {sum(named.values())} bytes, {sum(again.values())} of them twice, {worst} of one file"
    )
    assert sum(again.values()) <= max(1, daemons) * window
    assert max(late_s) <= ALARM_S


def alarm_to_central(box: RealBox) -> float:
    """Seconds from a press to central's store, of a box that has its session."""
    until(lambda: box.status().get("link", {}).get("since_s", 0) > AT_REST_S, "the link stands")
    before = len(box.stored("alarm"))
    pressed_s = box.press()  # the lamp is not waited for: of a press among many it changes at its next pulse
    until(lambda: len(box.stored("alarm")) > before, "the alarm is at central")
    return time.monotonic() - pressed_s


def children(box: RealBox) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(box.pid)], capture_output=True, text=True, check=False)
    return [int(pid) for pid in found.stdout.split()]
