"""Debian's own kernel, booted in an emulated PC: for tests of what a container has not: devices, and udev."""

import gzip
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from nspawn import CannotError, run

TOOLS = ("qemu-system-x86_64", "busybox", "depmod", "mke2fs", "apt-get")
BOOT_MODULES = ("virtio_pci", "virtio_blk", "ext4")
"""The initrd loads these by hand, in this order, each after what it depends on."""
BOOT_S = 180.0
"""Without hardware's help, on a machine that does other things too."""
ANSWER_S = 45.0
TAIL_LINES = 60
SERVED = "server=on,wait=off"
"""After a socket's name, for QEMU: it listens there, and does not wait for us."""

INIT = """\
#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs dev /dev
while read module; do /bin/busybox insmod $module; done </modules
until [ -b /dev/vda ]; do /bin/busybox sleep 0.1; done
/bin/busybox mount -t ext4 /dev/vda /root
for folder in proc sys dev; do /bin/busybox mount --move /$folder /root/$folder; done
exec /bin/busybox switch_root /root /lib/systemd/systemd
"""

SHELL = """\
import json, subprocess, sys, tty
with open("/dev/ttyS1", "rb", buffering=0) as asked, open("/dev/ttyS1", "wb") as answers:
    tty.setraw(asked)
    def answer(code, said):
        answers.write(json.dumps([code, said]).encode() + b"\\n")
        answers.flush()
    answer(0, "ready")
    for line in asked:
        done = subprocess.run(json.loads(line), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        answer(done.returncode, done.stdout)
"""
SHELL_UNIT = """\
[Unit]
Description=Root's shell for the test, on the second serial port
[Service]
ExecStart=/usr/bin/python3 /test-shell.py
[Install]
WantedBy=multi-user.target
"""

T = TypeVar("T")


class Kernel:
    """Debian's newest kernel of this release, of which only what is needed is kept.

    folder: vmlinuz, initrd, and lib/modules with `modules` and what they depend on. Made once, for 70 MB of download.
    """

    def __init__(self, cache: Path, *modules: str) -> None:
        """Raises CannotError when this machine has no QEMU, or no way to the kernel."""
        if missing := [name for name in TOOLS if not shutil.which(name)]:
            raise CannotError(f"this machine has no {', '.join(missing)}: make soak installs them")
        package = re.search(
            r"Depends: (linux-image-[0-9]\S+)", run("apt-cache", "depends", "linux-image-amd64", check=False).stdout
        )
        if not package:
            raise CannotError("apt of this machine knows no linux-image-amd64: apt-get update, on a Debian for amd64")
        self.version = package[1].removeprefix("linux-image-")
        self.folder = cache / "-".join((package[1], *modules))
        if not self.folder.is_dir():
            print(f"fetching {package[1]} into {self.folder}: the first time only", file=sys.__stderr__, flush=True)
            half = cache / f"{self.folder.name}.{os.getpid()}"
            try:
                self._fetch(package[1], half, modules)
                (half / "kept").rename(self.folder)
            finally:
                shutil.rmtree(half, ignore_errors=True)

    def _fetch(self, package: str, half: Path, modules: tuple[str, ...]) -> None:
        whole, kept = half / "whole", half / "kept"
        kept.mkdir(parents=True)
        command = ("apt-get", "download", "-q", package)
        done = subprocess.run(command, cwd=half, capture_output=True, text=True, timeout=300, check=False)
        assert not done.returncode, f"{' '.join(command)}: {done.stderr}"
        run("dpkg", "-x", next(half.glob("*.deb")), whole, timeout_s=300)
        shutil.copy(whole / "boot" / f"vmlinuz-{self.version}", kept / "vmlinuz")
        run("depmod", "-b", whole, self.version)
        boot, later = self._files(whole, BOOT_MODULES), self._files(whole, modules)
        for file in {*boot, *later}:
            (kept / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(whole / file, kept / file)
        for index in (whole / "lib/modules" / self.version).glob("modules.[bo]*[rn]"):  # builtin, order
            shutil.copy(index, kept / "lib/modules" / self.version)
        run("depmod", "-b", kept, self.version)
        self._initrd(kept, boot)

    def _files(self, whole: Path, modules: tuple[str, ...]) -> list[Path]:
        """Each module after what it depends on, as paths below `whole`."""
        files: list[Path] = []
        for module in modules:
            said = run("modprobe", "-C", "/dev/null", "-d", whole, "-S", self.version, "--show-depends", module).stdout
            for line in said.splitlines():
                kind, file, *_ = line.split()
                if kind == "insmod" and (path := Path(file).relative_to(whole)) not in files:
                    files.append(path)
        return files

    def _initrd(self, kept: Path, boot: list[Path]) -> None:
        tree = kept.parent / "initrd"
        for folder in ("bin", "proc", "sys", "dev", "root"):
            (tree / folder).mkdir(parents=True)
        shutil.copy(shutil.which("busybox") or "", tree / "bin/busybox")
        for file in boot:
            shutil.copy(kept / file, tree)
        (tree / "modules").write_text("".join(f"/{file.name}\n" for file in boot))
        (tree / "init").write_text(INIT)
        (tree / "init").chmod(0o755)
        names = "\n".join(str(path.relative_to(tree)) for path in sorted(tree.rglob("*")))
        archive = subprocess.run(
            ("busybox", "cpio", "-o", "-H", "newc"), cwd=tree, input=names.encode(), capture_output=True, check=True
        )
        (kept / "initrd").write_bytes(gzip.compress(archive.stdout, 1))


class Lines:
    """JSON, a line each way, over a Unix socket that QEMU serves."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(ANSWER_S)
        self._socket.connect(str(path))
        self._file = self._socket.makefile("rwb")

    def send(self, message: object) -> None:
        self._file.write(json.dumps(message).encode() + b"\n")
        self._file.flush()

    def receive(self, timeout_s: float = ANSWER_S) -> Any:
        """The next one; raises TimeoutError."""
        self._socket.settimeout(timeout_s)
        return json.loads(self._file.readline())


class Machine:
    """A PC without a network: a disk, a USB controller, and a console in a file."""

    def __init__(self, kernel: Kernel, image: Path, place: Path, *hardware: str) -> None:
        self.console = place / "console"
        said = "systemd.firstboot=off systemd.journald.forward_to_console=1 systemd.show_status=0"
        self._process = subprocess.Popen(
            (
                *("qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-m", "1024", "-machine", "q35", "-nodefaults"),
                *("-display", "none", "-no-reboot", "-kernel", kernel.folder / "vmlinuz"),
                *("-initrd", kernel.folder / "initrd", "-append", f"console=ttyS0 panic=-1 mitigations=off {said}"),
                *("-serial", "file:console", "-serial", f"unix:shell,{SERVED}"),
                *("-serial", f"unix:report,{SERVED}", "-qmp", f"unix:qmp,{SERVED}"),
                *("-device", "qemu-xhci,id=xhci,p2=8"),
                *("-drive", f"file={image},format=raw,if=virtio", *hardware),
            ),
            cwd=place,
            stdin=subprocess.DEVNULL,
            stdout=(place / "qemu.log").open("wb"),
            stderr=subprocess.STDOUT,
        )
        self._place = place
        try:
            self._qmp = self.wait("QEMU to listen", lambda: self._connect("qmp"), 20)
            self._shell = self.wait("QEMU to listen", lambda: self._connect("shell"), 20)
            self._report = self.wait("QEMU to listen", lambda: self._connect("report"), 20)
            self._qmp.receive()
            self.command("qmp_capabilities")
        except BaseException:
            self.kill()
            raise

    def _connect(self, name: str) -> Lines | None:
        try:
            return Lines(self._place / name)
        except OSError:
            return None

    def command(self, name: str, **arguments: object) -> Any:
        """QMP: what hands would do to the machine. Raises AssertionError when QEMU refuses."""
        self._qmp.send({"execute": name, "arguments": arguments})
        while "return" not in (answer := self._qmp.receive()):
            assert "error" not in answer, f"{name} {arguments}: {answer['error']}"
        return answer["return"]

    def boot(self) -> None:
        """Returns when the machine's shell is there."""
        self._answer("boot", BOOT_S)

    def run(self, *command: str, check: bool = True, deadline_s: float = ANSWER_S) -> tuple[int, str]:
        """Exit code and output of a command in the machine, as root."""
        self._shell.send(command)
        code, said = self._answer(" ".join(command), deadline_s)
        assert not (check and code), f"{' '.join(command)}: exit {code}\n{said}"
        return code, said

    def _answer(self, what: str, deadline_s: float) -> tuple[int, str]:
        code, said = self._received(self._shell, what, deadline_s)
        return code, said

    def start_report(self, *command: str) -> None:
        """Starts a command in the machine whose output, JSON lines, comes to `report`."""
        self.run("systemd-run", "--quiet", "--property=StandardOutput=file:/dev/ttyS2", *command)

    def report(self, what: str) -> Any:
        """The next line of the command of `start_report`; fails when there is none within the deadline."""
        return self._received(self._report, what, ANSWER_S)

    def _received(self, lines: Lines, what: str, deadline_s: float) -> Any:
        try:
            return lines.receive(deadline_s)
        except (OSError, ValueError) as error:  # too late, or the machine went down
            raise AssertionError(f"not within {deadline_s:.0f} s: {what}\n{self.tail()}") from error

    def wait(self, what: str, happened: Callable[[], T | None], deadline_s: float = ANSWER_S) -> T:
        """The first true answer; fails with the console's last lines at the deadline."""
        end_s = time.monotonic() + deadline_s
        while not (answer := happened()):
            if time.monotonic() > end_s or self._process.poll() is not None:
                raise AssertionError(f"not within {deadline_s:.0f} s: {what}\n{self.tail()}")
            time.sleep(0.05)
        return answer

    def tail(self) -> str:
        """What QEMU said, and the last of what the machine said on its console."""
        said = (self._place / "qemu.log").read_text(errors="replace")
        console = self.console.read_text(errors="replace") if self.console.exists() else "(no console)"
        return said + "\n".join(console.splitlines()[-TAIL_LINES:])

    def power_off(self) -> None:
        """In order, by the machine itself."""
        self._shell.send(("systemctl", "poweroff"))
        try:
            self._process.wait(ANSWER_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"not off within {ANSWER_S:.0f} s\n{self.tail()}") from None

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


def with_shell(root: Path, kernel: Kernel) -> None:
    """Puts into a Debian tree what makes it a machine for the test: the kernel's modules, and the shell."""
    shutil.copytree(kernel.folder / "lib/modules", root / "usr/lib/modules", dirs_exist_ok=True)
    (root / "test-shell.py").write_text(SHELL)
    (root / "etc/systemd/system/test-shell.service").write_text(SHELL_UNIT)
    run("systemctl", "--root", root, "enable", "test-shell")


@contextmanager
def booted(kernel: Kernel, root: Path, place: Path, *hardware: str) -> Iterator[Machine]:
    """Boots a disk made of the tree, which needs `with_shell`; the machine powers off by itself at the end.

    hardware: more arguments for QEMU, which runs in `place`. Raises AssertionError.
    """
    image = place / "disk"
    run("mke2fs", "-q", "-t", "ext4", "-d", root, image, "1536M", timeout_s=120)
    machine = Machine(kernel, image, place, *hardware)
    try:
        machine.boot()
        yield machine
        machine.power_off()
    finally:
        machine.kill()
        image.unlink()
