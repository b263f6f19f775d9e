"""Mains out, battery low: a clean stop before the battery dies, once, and a box that stays up where nobody heeds it."""

import json
import socket
from pathlib import Path

import pytest
from bench_box import YAML, Bench
from real_box import RealBox, until
from tcp_server import server

from agent import notify
from agent.mail import PowerOff
from drivers.contract import Edge, Health

UPS = YAML.replace("inputs:\n", "  - {id: ups, type: nut, ups: desk}\ninputs:\n").replace(
    "outputs:\n",
    """\
  - {id: ups-mains, driver: ups, kind: ac, signal: on-battery}
  - {id: ups-low, driver: ups, kind: battery, signal: low}
  - {id: ups-old, driver: ups, kind: battery, signal: replace}
  - {id: ups-end, driver: ups, kind: battery, signal: shutdown}
power: {stop_after_low_s: 60}
outputs:
""",
)


def says(bench: Bench, *active: str, initial: bool = False) -> None:
    """As the UPS tells all that it has."""
    for name in ("ups-mains", "ups-low", "ups-old", "ups-end"):
        bench.say(Edge(name, name in active, bench.now_s, initial=initial, settled=True))
    for name in ("mains", "mains-2"):
        bench.say(Edge(name, False, bench.now_s, initial=initial))


def asked(bench: Bench) -> int:
    return sum(isinstance(action, PowerOff) for action in bench.did)


def test_mains_out_and_battery_low_for_so_long_stops_the_box_and_no_sooner() -> None:
    bench = Bench(UPS)
    says(bench, initial=True)
    says(bench, "ups-mains")
    bench.wait(300)
    assert asked(bench) == 0
    says(bench, "ups-mains", "ups-low")
    bench.wait(59)
    assert asked(bench) == 0
    bench.wait(1.5)
    assert asked(bench) == 1
    bench.wait(130)
    assert asked(bench) == 1


def test_mains_that_come_back_in_time_and_a_battery_that_recovers_begin_anew() -> None:
    bench = Bench(UPS)
    for back in ((), ("ups-low",), ("ups-mains",)):
        says(bench, "ups-mains", "ups-low")
        bench.wait(50)
        says(bench, *back)
        bench.wait(50)
        assert asked(bench) == 0


@pytest.mark.parametrize("active", [("ups-low",), ("ups-mains", "ups-old"), ("ups-old",)], ids=str)
def test_a_battery_that_is_low_on_mains_or_old_stops_nothing(active: tuple[str, ...]) -> None:
    bench = Bench(UPS)
    says(bench, *active)
    bench.wait(130)
    assert asked(bench) == 0


def test_a_ups_that_is_being_switched_off_stops_it_at_once() -> None:
    bench = Bench(UPS)
    says(bench, "ups-mains", "ups-low", "ups-end")
    bench.wait(1)
    assert asked(bench) == 1


def test_by_default_nothing_stops_the_box() -> None:
    bench = Bench(UPS.replace("power: {stop_after_low_s: 60}\n", ""))
    says(bench, "ups-mains", "ups-low", "ups-end")
    bench.wait(300)
    assert asked(bench) == 0


def test_a_ups_that_is_not_heard_any_more_is_as_it_last_said() -> None:
    bench = Bench(UPS)
    says(bench, "ups-mains", "ups-low")
    for name in ("ups-mains", "ups-low"):
        bench.say(Health(name, "offline", "the switch has no power", bench.now_s))
    bench.wait(62)
    assert asked(bench) == 1


def stopped() -> Bench:
    bench = Bench(UPS)
    says(bench, "ups-mains", "ups-low")
    bench.wait(62)
    bench.box.stop(bench.stamp, "battery")
    bench.act()
    return bench


def test_the_last_event_says_why_and_the_first_of_the_next_run_too() -> None:
    bench = stopped()
    assert bench.events[-1]["type"] == "callbox.status.stopping"
    assert bench.events[-1]["data"]["reason"] == "battery"
    assert bench.journal.settings["last_end"] == "battery"


def test_where_nobody_powers_off_the_box_stays_up_and_records_until_the_mains_were_back() -> None:
    bench = stopped()
    bench.did.clear()
    bench.restart()
    says(bench, "ups-mains", "ups-low", initial=True)
    bench.wait(300)
    bench.press("alarm-1")
    assert asked(bench) == 0 and bench.of("alarm.panic")
    says(bench)
    bench.wait(2)
    says(bench, "ups-mains", "ups-low")
    bench.wait(62)
    assert asked(bench) == 1


def test_a_machine_that_was_powered_off_and_is_back_too_soon_asks_again() -> None:
    bench = stopped()
    bench.did.clear()
    bench.journal.settings["poweroff"] = "another1"
    bench.restart()
    says(bench, "ups-mains", "ups-low", initial=True)
    bench.wait(62)
    assert asked(bench) == 1


def test_what_an_earlier_run_told_of_the_battery_stops_nothing_before_the_ups_has_spoken() -> None:
    bench = Bench(UPS)
    says(bench, "ups-mains", "ups-low")
    bench.did.clear()
    bench.restart()
    bench.wait(300)
    assert asked(bench) == 0


# ---- the real thing


@pytest.mark.real
def test_a_real_box_ends_in_order_with_the_last_press_on_the_disk_and_leaves_its_wish(tmp_path: Path) -> None:
    status = ["OL"]

    def upsd(peer: socket.socket) -> None:
        with peer.makefile("rw") as stream:
            while stream.readline():
                stream.write(f'VAR desk ups.status "{status[0]}"\n')
                stream.flush()

    (run := tmp_path / "run").mkdir()
    (run / "poweroff").touch()  # an old one, of which nobody took notice
    with server(upsd) as port, RealBox(tmp_path) as box:
        box.config["drivers"].append({"id": "ups", "type": "nut", "ups": "desk", "tcp": f"127.0.0.1:{port}"})
        keys = {"driver": "ups", "kind": "battery", "signal": "shutdown"}
        box.config |= {"inputs": [*box.config["inputs"], {"id": "end", **keys}], "power": {"stop_after_low_s": 3600}}
        box.write_config()
        box.more_environment["RUNTIME_DIRECTORY"] = str(run)
        box.power_on()
        box.armed()
        assert not (run / "poweroff").exists()
        box.scan("last")
        status[0] = "FSD OB LB"
        until(lambda: box.code is not None, "the end")
        events = [json.loads(body) for body in box.journal()]
        assert (box.code, (run / "poweroff").exists()) == (0, True)
    assert any(event["data"].get("code") == "last" for event in events)
    assert [(event["type"], event["data"].get("reason")) for event in events][-2:] == [
        ("callbox.trouble.battery", None),
        ("callbox.status.stopping", "battery"),
    ]


# ---- the file


def test_the_wish_is_a_file_in_the_runtime_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    assert notify.ask_poweroff() == ""
    assert (tmp_path / "poweroff").exists()
    notify.forget_poweroff()
    notify.forget_poweroff()
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "none"))
    assert "No such file" in notify.ask_poweroff()
    monkeypatch.delenv("RUNTIME_DIRECTORY")
    assert "RUNTIME_DIRECTORY" in notify.ask_poweroff()


def test_the_units_and_the_daemon_name_the_same_file() -> None:
    units = Path(__file__).parent.parent / "systemd"
    path, service = ((units / f"callbox-poweroff.{kind}").read_text() for kind in ("path", "service"))
    assert "\nPathExists=/run/callbox/poweroff\n" in path
    assert service.index("ExecStart=rm -f /run/callbox/poweroff\n") < service.index(
        "poweroff\n", service.index("--no-block")
    )
    assert "\nRuntimeDirectoryPreserve=restart\n" in (units / "callbox.service").read_text()
