"""A network of three machines in this kernel: the box's, this one, and a router between them that drops and is slow.

    here (broker, central)  10.213.x.1 --- .2  router  .5 --- .6  the box's namespace

What the router does, neither end is told, as in the field: no reset, no refusal. Needs root, iproute2 and nftables.
"""

import itertools
import os
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Self

MISSING: Final = [name for name in ("ip", "tc", "nft") if shutil.which(name) is None]
WHY_NOT: Final = (
    "network namespaces want root"
    if os.geteuid() != 0
    else f"this machine has no {', '.join(MISSING)}: apt-get install iproute2 nftables"
    if MISSING
    else ""
)
"""Why this machine cannot build it; empty where it can."""
BURST: Final = "4kb"
LATENCY: Final = "800ms"
"""How long the router's queue is; what does not fit is dropped."""
RULES: Final = """
table inet lab {
  chain between {
    type filter hook forward priority 0;
    tcp flags & (syn | ack) == syn counter name dials
    jump loss
  }
  chain loss { }
  chain router { type filter hook input priority 0; policy drop; }
  counter dials { }
}
"""
"""The router hears nothing itself: who asks it for a name waits for ever."""
_numbers = itertools.count()


class NetLab:
    """The daemon is started `under` it; `here` is this machine's address towards it."""

    def __init__(self) -> None:
        number = next(_numbers)
        place = (os.getpid() * 7 + number) % 8192 * 8
        self._network = f"10.213.{place // 256}"
        self._host = place % 256
        self.name = f"callbox-{os.getpid()}-{number}"
        self.here, self.box = self._address(1), self._address(6)
        self.under = ["ip", "netns", "exec", self.name]
        self._router = f"{self.name}-router"
        self._resolv = Path("/etc/netns") / self.name / "resolv.conf"
        self._links = [f"cb{os.getpid()}.{number}{side}" for side in "hrsb"]
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for name in (self._router, self.name):
                _run("ip", "netns", "add", name)
                stack.callback(_run, "ip", "netns", "delete", name)
            self._wire()
            stack.callback(_run, "ip", "link", "delete", self._links[0])  # a dead namespace's goes only by and by
            self._nft(RULES)
            self._resolv.parent.mkdir(parents=True)
            stack.callback(shutil.rmtree, self._resolv.parent)
            self._resolv.write_text(f"nameserver {self._address(5)}\n")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def rate(self, kbit_s: float) -> None:
        """Both ways, from now on."""
        for link in self._links[1:3]:
            tbf = ("tbf", "rate", f"{kbit_s:g}kbit", "burst", BURST, "latency", LATENCY)
            _run(*self._at_router, "tc", "qdisc", "replace", "dev", link, "root", *tbf)

    def lose(self, percent: int) -> None:
        """Of the packets each way, at random; 100 is a half-open line, 0 a good one."""
        self._nft("flush chain inet lab loss")
        if percent:
            which = "" if percent == 100 else f"numgen random mod 100 < {percent}"
            self._nft(f"add rule inet lab loss {which} drop")

    @property
    def dials(self) -> int:
        """How often the box has sent a SYN (repeats of the kernel, too)."""
        listed = _run(*self._at_router, "nft", "list", "counter", "inet", "lab", "dials")
        return int(listed.split("packets")[1].split()[0])

    @property
    def _at_router(self) -> tuple[str, ...]:
        return "ip", "netns", "exec", self._router

    def _address(self, host: int) -> str:
        return f"{self._network}.{self._host + host}"

    def _wire(self) -> None:
        here, to_here, to_box, box = self._links
        _run("ip", "link", "add", here, "type", "veth", "peer", "name", to_here, "netns", self._router)
        _run(*self._at_router, "ip", "link", "add", to_box, "type", "veth", "peer", "name", box, "netns", self.name)
        places = (
            ((), here, self.here),
            (self._at_router, to_here, self._address(2)),
            (self._at_router, to_box, self._address(5)),
            (tuple(self.under), box, self.box),
        )
        for inside, link, address in places:
            _run(*inside, "ip", "address", "add", f"{address}/30", "dev", link)
            _run(*inside, "ip", "link", "set", link, "up")
        _run(*self.under, "ip", "link", "set", "lo", "up")
        _run(*self.under, "ip", "route", "add", "default", "via", self._address(5))
        _run("ip", "route", "add", f"{self._address(4)}/30", "via", self._address(2))
        _run(*self._at_router, "tee", "/proc/sys/net/ipv4/ip_forward", given="1")

    def _nft(self, rules: str) -> None:
        _run(*self._at_router, "nft", "-f", "-", given=rules)


def _run(*command: str, given: str = "") -> str:
    """What it prints. Raises AssertionError with it when it fails."""
    done = subprocess.run(
        command, input=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=20
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}"
    return done.stdout
