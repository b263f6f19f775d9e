"""A box whose link is down for three days, in the simulated world: virtual time, the real box and the real journal."""

import tempfile
from pathlib import Path
from unittest import mock

import pytest
from test_world import run
from world import World
from world_config import load_config

HOUR_S, HOURS = 3600.0, 72
PAUSE_S = 5.0
"""A box that dials more often than this on the average, for days, costs its battery and its broker too much."""
HEAL_S = 700.0


def three_days(world: World) -> None:
    """A press and a scan each hour, and nobody hears of it; then the line is mended."""
    world.stormy = world.cuts = False
    world.boot()
    world.run(60)
    world.broker.line = False
    world.broker.cut_line("the cable is cut")
    with mock.patch.object(world.broker, "connect", wraps=world.broker.connect) as dialled:
        for hour in range(HOURS):
            world.press("alarm-1", hold_s=0.5)
            world.scan(f"ticket-{hour}")
            world.run(HOUR_S)
    assert HOURS < dialled.call_count < HOURS * HOUR_S / PAUSE_S
    assert (world.owes()["alarm"], world.owes()["scan"]) == (HOURS, HOURS)
    world.broker.line = True
    assert world.run(HEAL_S, lambda: world.quiet), f"still owed: {world.owes()}"
    rows = [event["data"] for event in world.central.rows.values()]
    assert [data["count"] for data in rows if data.get("input") == "alarm-1"] == list(range(1, HOURS + 1))
    assert [data["code"] for data in rows if "code" in data] == [f"ticket-{hour}" for hour in range(HOURS)]
    whole = [data for data in rows if data.get("cid") == 350 and "link" not in data]  # each link has one of its own too
    assert [data["transition"] for data in whole] == ["raised", "restored"]


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_after_three_days_without_a_link_everything_is_at_central_once_and_the_box_has_not_spun() -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        run(1, folder, load_config(folder), three_days)
