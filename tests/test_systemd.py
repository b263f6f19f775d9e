"""The unit, linted and scored; then a real systemd boots the box: armed, hung, killed, reloaded, upgraded, stopped."""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

import nspawn
import pytest
import trustme
from nspawn import CACHE, CHECKOUT, STATE

UNIT = CHECKOUT / "systemd/callbox.service"

CONFIG = """\
box: {site: lab, id: nspawn-1, name: "Under a real systemd"}
state_dir: /var/lib/callbox
links:
  - url: mqtts://localhost:8883
    ca: /etc/callbox/ca.pem
    cert: /etc/callbox/box.pem
    key: /run/credentials/callbox.service/secret_box.key
drivers: [{id: panel, type: line, port: /dev/ttyUSB0, baud: 9600}]
inputs: [{id: alarm-1, driver: panel, pressed: '^B1:1$', released: '^B1:0$', kind: panic, cameras: [front]}]
cameras: [{id: front, source: /etc/callbox/film.ts}]
evidence: {recipients: [age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p]}
"""

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]  # the first run downloads a Debian


def analyze(*arguments: str | Path) -> str:
    if not shutil.which("systemd-analyze"):
        pytest.skip("this machine has no systemd-analyze")
    done = nspawn.run("systemd-analyze", *arguments, check=False)
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_the_unit_has_no_mistakes(tmp_path: Path) -> None:
    here = tmp_path / UNIT.name
    here.write_text(UNIT.read_text().replace("/opt/callbox/bin/callbox", sys.executable))  # it is not installed here
    assert analyze("verify", "--man=no", here) == ""


def test_the_units_that_power_off_have_no_mistakes() -> None:
    assert analyze("verify", "--man=no", *UNIT.parent.glob("callbox-poweroff.*")) == ""


def test_the_unit_is_exposed_to_1_4_at_most() -> None:
    """0.2 of it for setpriority alone, which counts as all of @resources: a camera's process has to step back."""
    analyze("security", "--offline=yes", "--threshold=14", "--no-pager", UNIT)


@dataclass
class Installed:
    """A box as `make install` leaves it, with a config and secrets, booted."""

    box: nspawn.Box
    wheels: Path

    def pid(self) -> int:
        return int(self.box.show("callbox", "MainPID")[0])

    def restarts(self) -> int:
        return int(self.box.show("callbox", "NRestarts")[0])

    def wait_armed(self, other_than: int = 0) -> None:
        """Until the daemon, another process than before, has said that it is ready."""
        state = ["ActiveState", "SubState", "MainPID"]

        def armed() -> bool:
            active, sub, pid = self.box.show("callbox", *state)
            return (active, sub) == ("active", "running") and int(pid) not in (0, other_than)

        self.box.wait("armed", armed, "callbox", deadline_s=60)

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.box.run("callbox", "events", *STATE, "--json").stdout.splitlines()]

    def types(self) -> list[str]:
        return [event["type"] for event in self.events()]

    def as_user(self, user: str, *command: str, daemon_s_view: bool = False) -> bool:
        """Whether `user` can do that; daemon_s_view: in the daemon's own mount namespace."""
        enter = ("nsenter", "-t", str(self.pid()), "-m") if daemon_s_view else ()
        drop = (
            "setpriv",
            f"--reuid={user}",
            f"--regid={'callbox' if user == 'callbox' else 'nogroup'}",
            "--clear-groups",
        )
        return self.box.run(*enter, *drop, *command, check=False).returncode == 0


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    if os.geteuid():
        pytest.skip("only root can boot a container: run the tests as root")
    if missing := [name for name in ("debootstrap", "systemd-nspawn", "nsenter") if not shutil.which(name)]:
        pytest.skip(f"this machine has no {', '.join(missing)}: make test installs them")
    place = tmp_path_factory.mktemp("nspawn")
    wheels = place / "wheels"
    try:
        with nspawn.copy_of(nspawn.debian(CACHE), place) as root:
            make("wheels", f"WHEELS={wheels}")
            make("install", f"WHEELS={wheels}", f"DESTDIR={root}")
            configure(root)
            with nspawn.booted(root) as box:
                installed = Installed(box, wheels)
                installed.wait_armed()  # by itself, and without a network
                yield installed
    except nspawn.CannotError as cannot:
        pytest.skip(str(cannot))


def make(*arguments: str) -> None:
    nspawn.run("make", "-C", CHECKOUT, *arguments, timeout_s=300)


def configure(root: Path) -> None:
    """What a technician does after the install."""
    ca = trustme.CA()
    certificate = ca.issue_cert("nspawn-1")
    etc = root / "etc/callbox"
    (etc / "box.yaml").write_text(CONFIG)
    ca.cert_pem.write_to_path(etc / "ca.pem")
    certificate.cert_chain_pems[0].write_to_path(etc / "box.pem")
    film = ("-f", "lavfi", "-i", "testsrc2=size=320x240:rate=10:duration=10", "-c:v", "libx264", "-g", "10")
    nspawn.run("ffmpeg", "-nostdin", "-loglevel", "error", *film, etc / "film.ts")
    (etc / "secrets").mkdir()
    certificate.private_key_pem.write_to_path(etc / "secrets/box.key")
    nspawn.run("systemctl", "--root", root, "enable", "callbox")


def test_a_booted_box_is_armed_by_itself_and_without_a_network(installed: Installed) -> None:
    assert installed.box.show("callbox", "NRestarts", "Result", "User") == ["0", "success", "callbox"]
    never_given_up = ("Restart", "StartLimitIntervalUSec", "WatchdogUSec")
    assert installed.box.show("callbox", *never_given_up) == ["always", "0", "30s"]
    assert installed.box.run("systemctl", "--failed", "--quiet").stdout == ""
    assert installed.types()[0] == "callbox.status.started"


def test_the_installed_unit_and_device_rules_have_no_mistakes(installed: Installed) -> None:
    assert installed.box.run("systemd-analyze", "verify", "--man=no", "callbox.service").stdout == ""
    said = installed.box.run("udevadm", "test", "/sys/devices/virtual/mem/null").stdout
    ours = [line for line in said.splitlines() if "70-callbox.rules" in line]
    assert ours == ["Reading rules file: /usr/local/lib/udev/rules.d/70-callbox.rules"]


def test_the_daemon_is_its_own_user_with_the_device_groups_and_no_capability(installed: Installed) -> None:
    status = dict(
        line.split(":\t", 1)
        for line in installed.box.run("cat", f"/proc/{installed.pid()}/status").stdout.splitlines()
        if ":\t" in line
    )
    numbers = {
        name: installed.box.run("getent", "group", name).stdout.split(":")[2]
        for name in ("callbox", "dialout", "gpio", "input", "spi", "video")
    }
    assert status["Gid"].split() == [numbers["callbox"]] * 4
    assert sorted(status["Groups"].split()) == sorted(numbers.values())
    assert (int(status["CapEff"], 16), int(status["CapBnd"], 16)) == (0, 0)
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


def test_nothing_that_the_daemon_can_write_can_be_executed(installed: Installed) -> None:
    mounts = [
        line.split() for line in installed.box.run("cat", f"/proc/{installed.pid()}/mountinfo").stdout.splitlines()
    ]
    writable = {fields[4]: fields[5].split(",") for fields in mounts if "rw" in fields[5].split(",")}
    assert {"/run/callbox", "/var/lib/callbox", "/tmp", "/var/tmp"} <= writable.keys()
    root_only = {
        place for place in writable if not installed.as_user("callbox", "test", "-w", place, daemon_s_view=True)
    }
    assert [place for place, how in writable.items() if "noexec" not in how and place not in root_only] == []


def test_a_secret_is_the_daemon_s_alone(installed: Installed) -> None:
    given = "/run/credentials/callbox.service/secret_box.key"
    stored = "/etc/callbox/secrets/box.key"
    assert installed.as_user("callbox", "cmp", "-s", given, given, daemon_s_view=True)
    assert installed.as_user("nobody", "cat", "/etc/passwd", daemon_s_view=True)
    assert not installed.as_user("nobody", "cat", given, daemon_s_view=True)
    assert not installed.as_user("nobody", "cat", given)
    assert not installed.as_user("callbox", "cat", stored)
    installed.box.run("cmp", given, stored)


def test_a_reload_starts_anew_in_the_same_process(installed: Installed) -> None:
    installed.wait_armed()
    pid, starts = installed.pid(), installed.types().count("callbox.status.started")
    installed.box.run("systemctl", "reload", "callbox")
    installed.box.wait("reloaded", lambda: installed.types().count("callbox.status.started") > starts, "callbox")
    installed.wait_armed()
    assert (installed.pid(), installed.restarts()) == (pid, 0)


def test_a_hung_daemon_is_restarted_by_the_watchdog(installed: Installed) -> None:
    drop_in = installed.box.root / "etc/systemd/system/callbox.service.d/short.conf"
    drop_in.parent.mkdir(parents=True)
    drop_in.write_text("[Service]\nWatchdogSec=2\nTimeoutAbortSec=1\n")
    installed.box.run("systemctl", "daemon-reload")
    installed.box.run("systemctl", "restart", "callbox")
    pid, before = installed.pid(), installed.restarts()
    drop_in.unlink()  # the daemon that comes back has the whole time again
    installed.box.run("systemctl", "daemon-reload")
    installed.box.run("sh", "-c", f"kill -STOP {pid}")
    installed.wait_armed(other_than=pid)
    assert installed.restarts() == before + 1
    log = installed.box.log("callbox")
    assert "Watchdog timeout" in log
    assert "Fatal Python error: Aborted" in log  # and below it, where each thread hung
    assert "loop.py" in log


def test_a_press_is_still_there_after_a_kill_and_the_chain_is_whole(installed: Installed, panel: IO[str]) -> None:
    installed.wait_armed()
    box, pid, before = installed.box, installed.pid(), installed.restarts()
    opened = f"ls -l /proc/{pid}/fd | grep -q /dev/pts/"
    box.wait("panel opened", lambda: not box.run("sh", "-c", opened, check=False).returncode, "callbox", deadline_s=60)
    print("B1:1", file=panel, flush=True)
    box.wait("press recorded", lambda: "callbox.alarm.panic" in installed.types(), "callbox")
    known = installed.events()
    box.run("sh", "-c", f"kill -KILL {pid}")
    installed.wait_armed(other_than=pid)
    assert installed.restarts() == before + 1
    assert "Outputs in their safe state" in box.log("callbox"), "before it came back"
    assert installed.events()[: len(known)] == known
    box.run("callbox", "verify", *STATE)


PANEL = """
import os, pty, shutil, sys, tty
master, slave = pty.openpty()
tty.setraw(slave)
shutil.chown(os.ttyname(slave), group="dialout")
os.chmod(os.ttyname(slave), 0o660)
if os.path.lexists("/dev/ttyUSB0"):
    os.unlink("/dev/ttyUSB0")
os.symlink(os.ttyname(slave), "/dev/ttyUSB0")
for line in sys.stdin:
    os.write(master, line.encode())
"""


@pytest.fixture
def panel(installed: Installed) -> Iterator[IO[str]]:
    """What the panel says, line by line: a serial port with the owner and the rights that udev gives one."""
    with installed.box.start("python3", "-c", PANEL) as process:
        assert process.stdin
        yield process.stdin


def test_a_camera_s_process_stores_evidence_under_all_that_the_unit_forbids(
    installed: Installed, panel: IO[str]
) -> None:
    installed.wait_armed()
    box, files = installed.box, installed.box.root / "var/lib/callbox/media"

    def camera() -> dict[str, Any]:
        status = box.run("callbox", "status", *STATE, "--json", check=False).stdout
        [front] = json.loads(status).get("cameras", [{}])
        return dict(front)

    box.wait("the camera brings pictures", lambda: camera().get("quality") == "good", "callbox", deadline_s=60)
    before = installed.types().count("callbox.status.evidence")
    print("B1:0", "B1:1", sep="\n", file=panel, flush=True)

    def told() -> list[dict[str, Any]]:
        events = [event for event in installed.events() if event["type"] == "callbox.status.evidence"]
        return [file for event in events[before:] for file in event["data"]["files"]]

    box.wait("a picture and a clip", lambda: len(told()) > 2, "callbox", deadline_s=60)
    assert {file["encrypted"] for file in told()} == {"age"}
    for file in told():
        content = (files / file["sha256"]).read_bytes()
        assert (sha256(content).hexdigest(), len(content)) == (file["sha256"], file["bytes"])
    [child] = box.run("sh", "-c", f"cat /proc/{installed.pid()}/task/*/children").stdout.split()
    pids = (installed.pid(), int(child))
    first_to_go = box.run("cat", f"/proc/{child}/oom_score_adj").stdout.strip()
    nice = [int(box.run("cat", f"/proc/{pid}/stat").stdout.rpartition(")")[2].split()[16]) for pid in pids]
    assert (first_to_go, nice[0] < nice[1]) == ("500", True), "without memory it goes first, and its turn comes last"
    box.run("callbox", "fsck", *STATE)


def test_a_box_without_the_folder_of_secrets_starts_all_the_same(installed: Installed) -> None:
    installed.box.run("mv", "/etc/callbox/secrets", "/etc/callbox/elsewhere")
    installed.box.run("systemctl", "restart", "callbox")
    installed.wait_armed()
    installed.box.run("mv", "/etc/callbox/elsewhere", "/etc/callbox/secrets")


def test_a_failed_upgrade_changes_nothing_and_a_good_one_is_taken_at_the_restart(installed: Installed) -> None:
    root, box = installed.box.root, installed.box
    for folder in ("config", "systemd"):
        shutil.copytree(CHECKOUT / folder, root / "checkout" / folder)
    shutil.copy(CHECKOUT / "Makefile", root / "checkout")
    shutil.copytree(installed.wheels, root / "wheels")
    (root / "half").mkdir()
    for wheel in (*installed.wheels.glob("callbox-*.whl"), *installed.wheels.glob("pip-*.whl")):
        shutil.copy(wheel, root / "half")

    before = (root / "opt/callbox/bin").readlink()
    failed = box.run("make", "-C", "/checkout", "install", "WHEELS=/half", check=False)
    assert failed.returncode
    assert "Nothing was changed" in failed.stdout
    assert (root / "opt/callbox/bin").readlink() == before

    box.run("make", "-C", "/checkout", "install", "WHEELS=/wheels")
    after = (root / "opt/callbox/bin").readlink()
    assert after != before
    box.run("systemctl", "restart", "callbox")
    assert f"/{after}/" in box.run("cat", f"/proc/{installed.pid()}/cmdline").stdout


def test_a_stop_is_clean_and_the_last_event_says_so(installed: Installed) -> None:
    installed.wait_armed()
    installed.box.run("systemctl", "stop", "callbox")
    properties = ("ActiveState", "Result", "ExecMainCode", "ExecMainStatus")
    assert installed.box.show("callbox", *properties) == ["inactive", "success", "1", "0"]  # 1: CLD_EXITED
    events = installed.events()
    assert events[-1]["type"] == "callbox.status.stopping"
    assert [event["boxseq"] for event in events] == list(range(1, len(events) + 1))
    assert len({event["journal"] for event in events}) == 1
    installed.box.run("callbox", "verify", *STATE)


def test_an_uninstalled_box_keeps_its_config_and_its_journal(installed: Installed) -> None:
    root = installed.box.root
    make("uninstall", f"DESTDIR={root}")
    assert not (root / "opt/callbox").exists()
    assert not (root / "usr/local/lib/systemd/system/callbox.service").exists()
    assert (root / "etc/callbox/box.yaml").read_text() == CONFIG
    assert any((root / "var/lib/callbox").iterdir())
