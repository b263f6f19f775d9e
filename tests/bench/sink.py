"""The far end of every drain: a process of its own that takes events as fast as Python can, so that it is no limit.

It reads what there is with one large recv, finds the ends of the packets, and lets `tally` count in all of them at
once; no packet becomes an object, and one send answers them all. Times are those at which the bytes were read. It comes
back by itself when the broker does, to a session that was kept.

To a box it is central: it sends receipts as the contract says (section 3), unsigned.
"""

import multiprocessing
import selectors
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Self

from bench.packets import Mqtt, Nats, Wire
from bench.tally import Report, Tally

RECV_BYTES = 1 << 18
BUFFER_BYTES = 4 << 20
AGAIN_S = 0.005
"""So soon it tries to connect again."""
DEADLINE_S = 40.0
NO_TIME = float("inf")


@dataclass(frozen=True)
class Plan:
    """Where and what to hear. wire: `mqtt5`, `mqtt311`, or `nats`. topics: MQTT filters (QoS 1), or NATS subjects.

    root: of a box that wants receipts; it is named by its topics then. batch: see the contract, 0 for none.
    """

    port: int
    topics: Sequence[str]
    wire: str = "mqtt5"
    root: str = ""
    batch: int = 0


def of_box(port: int, root: str, batch: int = 0) -> Plan:
    """A central for this box."""
    return Plan(port, [f"{root}/event/#", f"{root}/batch/#", f"{root}/state"], root=root, batch=batch)


class Sink:
    """The parent's end. Used as a context; raises TimeoutError where it is told to wait and nothing came."""

    def __init__(self, plan: Plan) -> None:
        context = multiprocessing.get_context("spawn")
        self._control, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(plan, theirs), daemon=True)
        self._process.start()
        theirs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._control.close()
        self._process.join(DEADLINE_S)

    def subscribed(self) -> Self:
        """Waits until it is."""
        self._ask("subscribed", "the sink is not subscribed")
        return self

    def reset(self) -> None:
        """Counts and times begin anew."""
        self._ask("reset", "")

    def wait(self, events: int = 0, alarms: int = 0, deadline_s: float = DEADLINE_S) -> Report:
        """Waits until so many have come since the reset."""
        return self._ask("wait", f"not all of {events} events and {alarms} alarms came", events, alarms, deadline_s)

    def settled(self, events: int, quiet_s: float) -> Report:
        """Waits until so many have come since the reset, or no new one for quiet_s."""
        self._control.send(("settle", events, 0, quiet_s))
        report = self._control.recv()[1]
        assert isinstance(report, Report)
        return report

    def _ask(self, verb: str, problem: str, events: int = 0, alarms: int = 0, deadline_s: float = DEADLINE_S) -> Report:
        self._control.send((verb, events, alarms, deadline_s))
        done, report = self._control.recv()
        if not done:
            raise TimeoutError(f"{problem} within {deadline_s:.0f} s: {report.events} and {len(report.alarms)}")
        assert isinstance(report, Report)
        return report


@dataclass(frozen=True)
class _Wish:
    """What the parent waits for."""

    verb: str
    events: int
    alarms: int
    deadline_s: float
    since_s: float


class _Far:
    """The process."""

    def __init__(self, plan: Plan, control: Connection) -> None:
        self._plan, self._control, self._tally = plan, control, Tally(plan.batch)
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ)
        self._socket: socket.socket | None = None
        self._wire: Wire = self._new_wire()
        self._rest = b""
        self._mid = 0
        self._wish: _Wish | None = None

    def run(self) -> None:
        """Ends with EOFError when the parent is gone."""
        while True:
            if self._socket is None:
                self._connect()
            for key, _ in self._selector.select(self._patience_s()):
                if key.fileobj is self._control:
                    verb, events, alarms, deadline_s = self._control.recv()
                    self._wish = _Wish(verb, events, alarms, deadline_s, time.monotonic())
                else:
                    self._read()
            self._send_receipt()
            self._grant()

    def _new_wire(self) -> Wire:
        if self._plan.wire == "nats":
            return Nats(self._plan.topics)
        return Mqtt(self._plan.topics, five=self._plan.wire == "mqtt5")

    def _connect(self) -> None:
        with suppress(OSError):  # the next step tries again
            connection = socket.create_connection(("127.0.0.1", self._plan.port), timeout=DEADLINE_S)
            if connection.getsockname() == connection.getpeername():
                connection.close()  # nobody listens, and the kernel gave us that very port to call from
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
            self._wire, self._rest = self._new_wire(), b""
            connection.sendall(self._wire.hello)
            self._selector.register(connection, selectors.EVENT_READ)
            self._socket = connection

    def _patience_s(self) -> float | None:
        now_s = time.monotonic()
        due_s = self._tally.due_s() if self._plan.root else None
        ends = [
            AGAIN_S if self._socket is None else NO_TIME,
            NO_TIME if due_s is None else due_s - now_s,
            self._end_s() - now_s,
        ]
        return None if min(ends) == NO_TIME else max(0.0, min(ends))

    def _read(self) -> None:
        assert self._socket is not None
        try:
            data = self._socket.recv(RECV_BYTES)
            now_s = time.monotonic()
            whole = self._rest + data if self._rest else data
            end, answer = self._wire.split(whole)
            if answer:
                self._socket.sendall(answer)
        except OSError:
            data = b""
        if not data:
            self._hang_up()
            return
        self._rest, packets = whole[end:], whole[:end]
        if self._plan.root:
            self._tally.greet(packets, now_s)
        self._tally.take(packets, now_s)

    def _hang_up(self) -> None:
        assert self._socket is not None
        self._selector.unregister(self._socket)
        self._socket.close()
        self._socket = None

    def _send_receipt(self) -> None:
        due_s = self._tally.due_s() if self._plan.root else None
        if due_s is None or due_s > time.monotonic() or self._socket is None or not isinstance(self._wire, Mqtt):
            return
        self._mid = self._mid % 65535 + 1
        packet = self._wire.publish(f"{self._plan.root}/receipt", self._tally.receipt(), self._mid)
        try:
            self._socket.sendall(packet)
        except OSError:
            self._hang_up()  # a new session of the box gets the next one

    def _end_s(self) -> float:
        """When the parent waits no longer."""
        if self._wish is None:
            return NO_TIME
        since_s = self._wish.since_s
        return self._wish.deadline_s + (
            max(since_s, self._tally.report.last_s) if self._wish.verb == "settle" else since_s
        )

    def _grant(self) -> None:
        """Answers the parent when what it waits for is so, or too late."""
        if (wish := self._wish) is None:
            return
        if wish.verb == "reset":
            self._tally.reset()
        report = self._tally.report
        done = report.events >= wish.events and len(report.alarms) >= wish.alarms
        if wish.verb == "subscribed":
            done = self._socket is not None and self._wire.ready
        if done or time.monotonic() >= self._end_s():
            self._control.send((done, report))
            self._wish = None


def _serve(plan: Plan, control: Connection) -> None:
    with suppress(EOFError, KeyboardInterrupt):  # the parent is gone
        _Far(plan, control).run()
