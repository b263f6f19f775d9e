"""The hardened unit with real devices: under Debian's kernel and udev, USB serial adapters come, go and come back.

One boot for all, in this order: an adapter comes for the first time only once.
"""

import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nspawn
import pytest
import qemu
from nspawn import CACHE, CHECKOUT, STATE

NAME = "/dev/callbox/PANEL7-00"

CONFIG = f"""\
box: {{site: lab, id: qemu-1, name: "Under a real kernel"}}
state_dir: /var/lib/callbox
links: [{{url: "mqtt://127.0.0.1:1883"}}]
drivers: [{{id: panel, type: line, port: {NAME}, baud: 9600}}]
inputs: [{{id: alarm-1, driver: panel, pressed: '^B1:1$', released: '^B1:0$', kind: panic}}]
"""

ADAPTERS = ("panel", "other", "cheap")
NO_NUMBER = "NONE"
FORGETS_IT = f'ENV{{ID_SERIAL_SHORT}}=="{NO_NUMBER}", ENV{{ID_SERIAL_SHORT}}=""\n'
"""QEMU's adapters all have a serial number; after this udev rule one has none, as a CH340."""

TEN_TIMES_SLOWER = "[Service]\nTimeoutStartSec=300\n"
"""The shipped unit and no other, but for its patience: a start that takes 3 s on a box takes 30 s emulated."""

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]  # the first run downloads a Debian


class Hotplug:
    """The box, and a hand that plugs adapters in and pulls them out."""

    def __init__(self, machine: qemu.Machine, place: Path) -> None:
        self.machine = machine
        self._lines: dict[str, socket.socket] = {}
        for name in ADAPTERS:
            self._lines[name] = socket.socket(socket.AF_UNIX)
            self._lines[name].connect(str(place / name))

    def plug(self, name: str, serial: str, port: int) -> None:
        self.machine.command(
            "device_add",
            driver="usb-serial",
            id=name,
            chardev=name,
            serial=serial,
            bus="xhci.0",
            port=str(port),
            **{"always-plugged": True},
        )

    def pull(self, name: str) -> None:
        self.machine.command("device_del", id=name)

    def press(self) -> None:
        """The panel says that its button went down, and up again."""
        self._lines["panel"].sendall(b"B1:1\r\nB1:0\r\n")

    def next(self, type_: str) -> dict[str, Any]:
        """What the next event of this type, that the box wrote into its journal, says."""
        while True:
            event = self.machine.report(f"an event {type_}")
            if event["type"] == f"callbox.{type_}":
                data: dict[str, Any] = event["data"]
                return data

    def wire(self) -> str:
        """What comes next with the panel's wire."""
        return str(self.next("trouble.input")["transition"])

    def named(self, device: str) -> None:
        """Waits until udev gave a device its name."""
        self.machine.wait(device, lambda: self.machine.run("test", "-e", device, check=False)[0] == 0)

    def opened_port(self) -> str:
        return self.machine.run("readlink", "-f", NAME)[1].strip()

    def show(self, name: str) -> str:
        return self.machine.run("systemctl", "show", "callbox", f"--property={name}", "--value")[1].strip()


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hotplug]:
    if os.geteuid():
        pytest.skip("only root can make the disk of a Debian tree: run the tests as root")
    if missing := [name for name in ("debootstrap", "systemctl") if not shutil.which(name)]:
        pytest.skip(f"this machine has no {', '.join(missing)}: make soak installs them")
    place = tmp_path_factory.mktemp("qemu")
    chardevs = [word for name in ADAPTERS for word in ("-chardev", f"socket,id={name},path={name},{qemu.SERVED}")]
    try:
        kernel = qemu.Kernel(CACHE, "xhci_pci", "ftdi_sio")
        with nspawn.copy_of(nspawn.debian(CACHE), place) as root:
            for target in ("wheels", "install"):
                nspawn.run("make", "-C", CHECKOUT, target, f"WHEELS={place}/wheels", f"DESTDIR={root}", timeout_s=300)
            (root / "etc/callbox/box.yaml").write_text(CONFIG)
            (root / "etc/systemd/system/callbox.service.d").mkdir()
            (root / "etc/systemd/system/callbox.service.d/emulated.conf").write_text(TEN_TIMES_SLOWER)
            (root / "etc/udev/rules.d/65-no-number.rules").write_text(FORGETS_IT)
            nspawn.run("systemctl", "--root", root, "enable", "callbox")
            qemu.with_shell(root, kernel)
            with qemu.booted(kernel, root, place, *chardevs) as machine:
                machine.run("systemctl", "start", "callbox", deadline_s=qemu.BOOT_S)  # it is about to: only waits
                machine.start_report("callbox", "events", *STATE, "--json", "--follow")
                yield Hotplug(machine, place)
    except nspawn.CannotError as cannot:
        pytest.skip(str(cannot))


def test_an_adapter_that_comes_for_the_first_time_after_the_box_was_armed_is_heard(box: Hotplug) -> None:
    assert box.wire() == "raised"
    assert "ttyUSB" not in box.machine.run("cat", "/proc/devices")[1]  # no adapter yet, not even a driver for one
    box.plug("panel", "PANEL7", port=1)
    assert box.wire() == "restored"
    box.press()
    assert box.next("alarm.panic")["transition"] == "raised"
    assert box.opened_port() == "/dev/ttyUSB0"
    assert box.machine.run("stat", "-c", "%U:%G %a", "/dev/ttyUSB0")[1].strip() == "root:dialout 660"
    assert "ID_MM_DEVICE_IGNORE=1" in box.machine.run("udevadm", "info", "-q", "property", NAME)[1]


def test_a_pulled_adapter_is_a_trouble_and_heard_again_once_it_is_back_under_another_number(box: Hotplug) -> None:
    daemon = (box.show("MainPID"), box.show("NRestarts"))
    box.pull("panel")
    assert box.wire() == "raised"
    box.plug("other", "OTHER9", port=2)  # takes the number that became free
    box.named("/dev/callbox/OTHER9-00")
    box.plug("panel", "PANEL7", port=3)
    assert box.wire() == "restored"
    assert box.opened_port() == "/dev/ttyUSB1"
    box.press()
    assert box.next("alarm.panic")["transition"] == "raised"
    box.pull("panel")
    assert box.wire() == "raised"
    box.plug("panel", "PANEL7", port=4)
    assert box.wire() == "restored"
    box.press()
    assert box.next("alarm.panic")["transition"] == "raised"
    assert (box.show("MainPID"), box.show("NRestarts")) == daemon
    box.machine.run("callbox", "verify", *STATE)


def test_an_adapter_without_a_number_of_its_own_is_named_after_its_socket(box: Hotplug) -> None:
    box.plug("cheap", NO_NUMBER, port=5)
    box.named("/dev/callbox/usb-1-5:1.0")
    assert f"{NO_NUMBER}-00" not in box.machine.run("ls", "/dev/callbox")[1].split()


def test_the_unit_that_heard_them_is_exposed_to_1_2_at_most(box: Hotplug) -> None:
    box.machine.run("systemd-analyze", "security", "--threshold=12", "--no-pager", "callbox.service")


OPEN = "import os,sys; os.open(sys.argv[1], os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY)"


@pytest.mark.parametrize(
    ("device", "may"), [("/dev/ttyS0", True), ("/dev/null", True), ("/dev/mem", False), ("/dev/vda", False)]
)
def test_the_unit_opens_serial_ports_and_neither_memory_nor_disk_even_as_root(
    box: Hotplug, device: str, may: bool
) -> None:
    opened = f'python3 -c "{OPEN}" {device}'
    assert box.machine.run("sh", "-c", opened)[0] == 0  # outside, root can
    group = box.show("ControlGroup")
    code, said = box.machine.run("sh", "-c", f"echo $$ >/sys/fs/cgroup{group}/cgroup.procs; {opened}", check=False)
    assert (code == 0) == may, said
    assert may or "PermissionError" in said
