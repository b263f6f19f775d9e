"""A whole Debian with a real systemd, booted in a container: for tests of the unit as it will be installed."""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

CHECKOUT = Path(__file__).parent.parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "callbox"
STATE = ("--state-dir", "/var/lib/callbox")
PACKAGES = ("systemd", "systemd-sysv", "python3", "udev", "make")
"""Beside Debian's essential packages. No pip, no venv, no procps: what the box needs, `make install` brings along."""


class CannotError(Exception):
    """This machine cannot boot a container; the text says why."""


def run(*command: str | Path, check: bool = True, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
    """Runs a command without stdin, both outputs captured as one; raises AssertionError with them when it fails."""
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    if check and done.returncode:
        raise AssertionError(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout}")
    return done


def mirror() -> tuple[str, str]:
    """Debian's address and this machine's release, as apt on this machine knows them."""
    release = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    codename = release.get("VERSION_CODENAME", "").strip('"')
    form = ("--format", "$(RELEASE) $(COMPONENT) $(REPO_URI)")
    targets = run("apt-get", "indextargets", *form, "Created-By: Packages").stdout.splitlines()
    for target in targets:
        suite, component, address = target.split(" ", 2)
        if (suite, component) == (codename, "main"):
            return address, codename
    raise CannotError(f"apt of this machine names no archive with {codename or 'a codename'}/main: {targets}")


def debian(cache: Path) -> Path:
    """A bare Debian tree; made once (a minute), then taken from the cache."""
    address, codename = mirror()
    key = hashlib.sha256(" ".join((codename, os.uname().machine, *PACKAGES)).encode()).hexdigest()[:12]
    tree = cache / f"{codename}-{key}"
    if not tree.is_dir():
        print(f"making a Debian tree in {tree}: a minute, the first time only", file=sys.__stderr__, flush=True)
        half = cache / f"{tree.name}.{os.getpid()}"
        half.mkdir(parents=True)
        try:
            include = "--include=" + ",".join(PACKAGES)
            run("debootstrap", "--variant=minbase", include, codename, half, address, timeout_s=600)
            (half / "etc/hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")
            half.rename(tree)
        except (AssertionError, OSError):
            shutil.rmtree(half, ignore_errors=True)
            if not tree.is_dir():  # else another run was faster
                raise
    return tree


@contextmanager
def copy_of(tree: Path, place: Path) -> Iterator[Path]:
    """A tree to write to: an overlay where the file system can be one's upper layer, else a real copy."""
    root = place / "root"
    upper, work = place / "upper", place / "work"
    for folder in (root, upper, work):
        folder.mkdir(parents=True)
    layers = f"lowerdir={tree},upperdir={upper},workdir={work}"
    if run("mount", "-t", "overlay", "overlay", "-o", layers, root, check=False).returncode:
        run("cp", "-a", "--reflink=auto", f"{tree}/.", root, timeout_s=300)
        yield root
    else:
        try:
            yield root
        finally:
            run("umount", root)


class Box:
    """A booted tree."""

    def __init__(self, root: Path, leader: int) -> None:
        self.root, self.leader = root, leader

    def _enter(self, command: tuple[str | Path, ...]) -> tuple[str | Path, ...]:
        enter = ("nsenter", "-t", str(self.leader), "-m", "-u", "-i", "-n", "-p")
        clean = ("env", "-i", "PATH=/usr/local/bin:/usr/bin:/usr/sbin", "LANG=C.UTF-8", "SYSTEMD_COLORS=0")
        return (*enter, *clean, *command)

    def run(self, *command: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs a command in the container, as root."""
        return run(*self._enter(command), check=check)

    def start(self, *command: str | Path) -> subprocess.Popen[str]:
        """Starts a command in the container that reads what is written to it."""
        return subprocess.Popen(self._enter(command), stdin=subprocess.PIPE, text=True)

    def show(self, unit: str, *names: str) -> list[str]:
        """Properties of a unit, in the order asked for."""
        answer = self.run("systemctl", "show", unit, *(f"--property={name}" for name in names)).stdout
        values = dict(line.split("=", 1) for line in answer.splitlines())
        return [values[name] for name in names]

    def log(self, unit: str) -> str:
        """What the unit, and systemd about it, have said since the boot."""
        return self.run("journalctl", "--no-pager", "--output=short-monotonic", f"--unit={unit}").stdout

    def wait(self, what: str, happened: Callable[[], bool], unit: str, deadline_s: float = 20) -> None:
        """Returns when it happened; fails with the unit's log at the deadline."""
        end_s = time.monotonic() + deadline_s
        while not happened():
            if time.monotonic() > end_s:
                last = "\n".join(self.log(unit).splitlines()[-40:])
                raise AssertionError(f"not within {deadline_s} s: {what}\n{last}")
            time.sleep(0.05)


@contextmanager
def booted(root: Path) -> Iterator[Box]:
    """Boots the tree with a network of its own that leads nowhere; powers off at the end."""
    # Where no systemd runs on this machine, there is nothing to register with, nor a unit to be made.
    alone = () if Path("/run/systemd/system").is_dir() else ("--register=no", "--keep-unit")
    machine = ("--machine", f"callbox-test-{os.getpid()}", "--private-network", "--console=pipe")
    container = subprocess.Popen(
        ("systemd-nspawn", *alone, *machine, "--boot", "--directory", root),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        box = Box(root, _leader(container))
        box.wait(
            "boot", lambda: box.run("systemctl", "is-system-running", check=False).stdout.strip() in UP, "init.scope"
        )
        yield box
    finally:
        container.terminate()  # to nspawn this means: power off in order
        try:
            container.wait(30)
        except subprocess.TimeoutExpired:
            container.kill()
            container.wait()


UP = ("running", "degraded")


def _leader(container: subprocess.Popen[str]) -> int:
    """The container's PID 1, as this machine numbers it."""
    children = Path(f"/proc/{container.pid}/task/{container.pid}/children")
    end_s = time.monotonic() + 20
    while time.monotonic() < end_s and container.poll() is None:
        for child in children.read_text().split():
            try:
                status = Path(f"/proc/{child}/status").read_text()
            except OSError:  # it was only the first of nspawn's two steps
                continue
            if "\nName:\tsystemd\n" in f"\n{status}" and status.split("NSpid:")[1].splitlines()[0].split()[-1] == "1":
                return int(child)
        time.sleep(0.02)
    container.kill()
    output = container.communicate()[0]
    raise CannotError(f"systemd-nspawn did not boot (exit {container.returncode}): {output}")
