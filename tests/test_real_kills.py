"""SIGKILL of the real process at random instants, while hands press and scan and the broker goes down and up.

Some of the instants are those in which the lamp goes on: what it promised then must be on the disk already.

CALLBOX_KILLS is how often (6; `make soak`: more), CALLBOX_SEED the seed of the instants.
"""

import os
import random
import signal
import threading
from pathlib import Path

import pytest
from hands import ALIVE_S_MAX, INPUTS, SEED, Hands, Trap
from real_box import RealBox

KILLS = int(os.environ.get("CALLBOX_KILLS", "6"))


@pytest.mark.real
@pytest.mark.timeout(120 + 15 * KILLS)
def test_sigkill_at_random_instants_loses_and_repeats_nothing(tmp_path: Path) -> None:
    rng, pause = random.Random(SEED), threading.Event()
    print(f"seed {SEED}")  # noqa: T201  pytest shows it when the test fails
    with RealBox(tmp_path, inputs=INPUTS) as box, Hands(box) as hands:
        box.broker.start()
        box.start_central()
        trap, trapped, broker_kills = Trap(box, lambda: box.signal(signal.SIGKILL)), 0, 0
        for _ in range(KILLS):
            box.power_on()
            if rng.random() < 0.8:  # else it is killed somewhere in its start
                box.armed()
            hands.alive.set()
            pause.wait(rng.uniform(0, ALIVE_S_MAX))
            if rng.random() < 0.4:
                trapped += "INFO armed:" in box.said() and trap.wait()
            elif rng.random() < 0.6:
                broker_kills += box.broker.pid is not None
                box.broker.kill()
                pause.wait(rng.uniform(0, ALIVE_S_MAX))
            hands.alive.clear()
            box.kill()
            if rng.random() < 0.6:
                box.broker.start()
        box.broker.start()
        box.power_on()
        box.armed()
        hands.last_word()
        told = f"{KILLS} kills, {trapped} of them as the lamp went on; {broker_kills} of the broker; {hands.check()}"
        print(f"{told} (seed {SEED})")  # noqa: T201  `make soak` shows it
