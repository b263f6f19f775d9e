"""The power fails: a real box on a disk that keeps what was fsynced, and of the rest what the seed says.

Cut while hands press and scan, while the link goes down and up and a backlog drains, as the lamp goes on, in the
start, in a checkpoint, in a clean stop. The disk is frozen and the process killed in one instant.

CALLBOX_CUTS is how often (3; `make soak`: 200), CALLBOX_SEED the seed.
"""

import os
import random
import signal
import threading
from collections import Counter
from pathlib import Path

import pytest
from bad_disk import NO_FUSE
from hands import ALIVE_S_MAX, INPUTS, SEED, Hands, Trap
from real_box import RealBox, until

from simulators.powerdisk import Fate, PowerDisk

CUTS = int(os.environ.get("CALLBOX_CUTS", "3"))
WAIT_S = 3.0
QUIET_S = 2.5
"""After a burst and so much silence the journal has been checkpointed."""
BURST = 80
CHANGES = {"start": 40, "write": 60, "stop": 25, "checkpoint": 45, "making": 95}
"""Of the disk, about as many as there are: the cut falls before one of them."""
KINDS = {"start": 12, "lamp": 36, "any": 12, "write": 20, "stop": 12, "checkpoint": 8}
"""How often, in percent."""

pytestmark = [pytest.mark.real, pytest.mark.skipif(bool(NO_FUSE), reason=NO_FUSE)]


class PowerSwitch:
    """The power of a box and of the disk under it. torn: fates of what was not synced, over all cuts."""

    def __init__(self, box: RealBox, disk: PowerDisk, rng: random.Random) -> None:
        self._box, self._disk, self._rng = box, disk, rng
        self.cuts = 0
        self.fates: Counter[Fate] = Counter()
        self.torn: Counter[str] = Counter()

    def fail(self) -> None:
        """In this instant: nothing more reaches the disk, and the process is dead. From any thread."""
        self._disk.freeze()
        self._box.signal(signal.SIGKILL)

    def off(self) -> None:
        """The power has failed, or fails now; what is on the disk is settled."""
        self.fail()
        fates = self._disk.cut(self._rng.getrandbits(32))
        self._box.kill()
        self.cuts += 1
        fates.pop("/journal.db-shm", None)  # SQLite makes it anew at each start
        self.fates.update(fates.values())
        self.torn.update(path for path, fate in fates.items() if fate == "torn")

    def on(self, *, freeze_at: int = 0) -> None:
        """freeze_at: of the changes of the disk from now on, 0 is none."""
        self._disk.mount()
        if freeze_at:
            self._disk.freeze_at(freeze_at)
        self._box.power_on()


@pytest.mark.timeout(120 + 15 * CUTS)
def test_a_power_cut_at_any_instant_breaks_no_promise_of_the_lamp(tmp_path: Path) -> None:
    rng, pause = random.Random(SEED), threading.Event()
    print(f"seed {SEED}")  # noqa: T201  pytest shows it when the test fails
    disk = PowerDisk(tmp_path / "disk", tmp_path / "state")
    with disk, RealBox(tmp_path, inputs=INPUTS) as box, Hands(box) as hands:
        box.broker.start()
        box.start_central()
        power, kinds = PowerSwitch(box, disk, rng), Counter[str]()
        trap = Trap(box, power.fail)
        for _ in range(CUTS):
            if rng.random() < 0.3:
                box.wan.cut()
            kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
            changes = rng.randint(1, CHANGES.get(kind, 1))
            if kind == "start":
                power.on(freeze_at=changes)
                until(lambda: disk.frozen() or "INFO armed:" in box.said(), "it is frozen, or started with less")
            else:
                power.on()
                box.armed()
                hands.alive.set()
                pause.wait(rng.uniform(0, ALIVE_S_MAX))
            box.wan.restore()
            match kind:
                case "lamp":
                    assert trap.wait()
                case "write":
                    disk.freeze_at(changes)
                    assert disk.frozen(WAIT_S)
                case "stop":
                    disk.freeze_at(changes)
                    box.signal(signal.SIGTERM)
                    until(lambda: disk.frozen() or box.code is not None, "it is frozen, or stopped with less")
                case "checkpoint":
                    hands.alive.clear()
                    for _ in range(BURST):
                        hands.scan()
                    pause.wait(ALIVE_S_MAX)
                    disk.freeze_at(changes)
                    disk.frozen(WAIT_S)
            hands.alive.clear()
            power.off()
            kinds[kind] += 1
        power.on()
        box.armed()
        hands.last_word()
        told = (
            f"{power.cuts} power cuts ({', '.join(f'{count} {kind}' for kind, count in kinds.most_common())});"
            f" files not synced: {dict(power.fates)}, torn {dict(power.torn)};"
            f" {hands.check(crashed=CUTS > 20)}"
        )
        print(f"{told} (seed {SEED})")  # noqa: T201  `make soak` shows it
        disk.unmount()


@pytest.mark.timeout(60 + 10 * CUTS)
def test_a_power_cut_while_the_journal_is_made_leaves_a_box_that_starts(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    print(f"seed {SEED}")  # noqa: T201
    for changes in rng.sample(range(1, CHANGES["making"]), min(1 + CUTS // 4, 50)):
        folder = tmp_path / str(changes)
        folder.mkdir()
        with PowerDisk(folder / "disk", folder / "state") as disk, RealBox(folder) as box:
            power = PowerSwitch(box, disk, rng)
            power.on(freeze_at=changes)
            until(lambda: disk.frozen() or "INFO armed:" in box.said(), "it is frozen, or armed")
            power.off()
            power.on()
            box.armed()
            assert list(box.state_dir.glob("*.aside-*")) == []
            box.press_until_lit()
            power.off()
            power.on()
            box.armed()
            assert box.status()["open_alarms"] == 1


@pytest.mark.timeout(120)
def test_a_disk_that_lies_about_fsync_is_seen_by_the_same_check(tmp_path: Path) -> None:
    disk = PowerDisk(tmp_path / "disk", tmp_path / "state", lies=True)
    with disk, RealBox(tmp_path, inputs=INPUTS) as box, Hands(box) as hands:
        box.broker.start()
        box.start_central()
        power = PowerSwitch(box, disk, random.Random(SEED))
        trap = Trap(box, power.fail)
        power.on()
        box.armed()
        hands.alive.set()
        assert trap.wait()
        hands.alive.clear()
        power.off()
        power.on()
        box.armed()
        hands.last_word()
        with pytest.raises(AssertionError, match="the lamp promised the press"):
            hands.check()
