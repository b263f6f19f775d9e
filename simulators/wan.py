"""A TCP link as the field has it: slow, late, stalled, cut, half-open.

The box connects to the relay instead of to the broker. `up` is what the box sends, `down` what it is sent.

    mode        new connections        bytes                                    closing (FIN, RST)
    up          go through             go through, at the rate and delay set    goes through
    stall       are accepted           held, at most BUFFER_BYTES a direction   held
    half-open   are accepted           vanish, both ways                        vanishes: the box never hears of it
    cut         are refused            connections died by RST at the cut       -

`restore` brings back `up`: held bytes move on; a connection that lost bytes dies by RST, since what
would come next on it makes no sense. Nothing ever changes or reorders a byte that arrives.
"""

import argparse
import asyncio
import json
import random
import signal
import socket
import struct
import sys
import threading
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from agent.text import t
from simulators.process import until_stopped

BUFFER_BYTES = 65536  # held in each direction of one connection; then the sender's own TCP has to wait
SLICE_S = 0.01  # a slow line sends what fits into this time, then looks again whether it is stalled
READ_BYTES = 4096
CALL_TIMEOUT_S = 5.0
COMMANDS = "up|restore, stall, half-open, cut, rate KBPS, rate off, delay MS, jitter MS, state"

Mode = Literal["up", "stall", "half-open", "cut"]
T = TypeVar("T")


class _Line:
    """One direction of the link: all connections share its rate. Times are those of the event loop, in seconds."""

    def __init__(self, rate_kbps: float | None) -> None:
        self.rate_kbps, self.free_at_s, self.bytes = rate_kbps, 0.0, 0

    def slice_bytes(self) -> int:
        return READ_BYTES if self.rate_kbps is None else max(1, int(self.rate_kbps * 125 * SLICE_S))

    async def occupy(self, count: int) -> None:
        """Returns when `count` bytes are through."""
        self.bytes += count
        if self.rate_kbps is not None:
            now = asyncio.get_running_loop().time()
            self.free_at_s = max(now, self.free_at_s) + count / (self.rate_kbps * 125)
            await asyncio.sleep(self.free_at_s - now)


class _Connection:
    """One connection of the box, and its twin to the target."""

    def __init__(self, wan: "Wan", box: socket.socket) -> None:
        self.wan, self.box, self.target = wan, box, socket.socket()
        self.lost = False
        self.task: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Relays until both directions have ended; closes both sockets, by RST when it was cut or broke."""
        loop = asyncio.get_running_loop()
        try:
            await self.wan.moving.wait()
            if self.lost:  # accepted while half-open: the target never hears of it
                while await loop.sock_recv(self.box, READ_BYTES):
                    pass
                return
            self.target.setblocking(False)
            await loop.sock_connect(self.target, self.wan.target)
            self.target.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._relay(self.box, self.target, self.wan.up))
                group.create_task(self._relay(self.target, self.box, self.wan.down))
        except (OSError, ExceptionGroup, asyncio.CancelledError):
            for end in (self.box, self.target):
                with suppress(OSError):  # already gone
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        finally:
            self.box.close()
            self.target.close()

    async def _relay(self, source: socket.socket, sink: socket.socket, line: _Line) -> None:
        """Reads ahead of what it sends by at most BUFFER_BYTES, so that a delay does not cost rate."""
        held: asyncio.Queue[tuple[float, bytes | OSError]] = asyncio.Queue(BUFFER_BYTES // READ_BYTES)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._read(source, held))
            group.create_task(self._send(sink, held, line))

    async def _read(self, source: socket.socket, held: asyncio.Queue[tuple[float, bytes | OSError]]) -> None:
        loop = asyncio.get_running_loop()
        data: bytes | OSError = b"-"
        while data and isinstance(data, bytes):
            try:
                data = await loop.sock_recv(source, READ_BYTES)
            except OSError as error:
                data = error  # a reset is news, and travels like everything else
            late_ms = self.wan.delay_ms + random.uniform(0, self.wan.jitter_ms)
            await held.put((loop.time() + late_ms / 1000, data))

    async def _send(self, sink: socket.socket, held: asyncio.Queue[tuple[float, bytes | OSError]], line: _Line) -> None:
        """b"" is the end of the stream. Raises OSError when either end is reset."""
        loop = asyncio.get_running_loop()
        while True:
            due_s, data = await held.get()
            await asyncio.sleep(due_s - loop.time())
            rest = data
            while await self._may_move() and isinstance(rest, bytes) and rest:
                part, rest = rest[: line.slice_bytes()], rest[line.slice_bytes() :]
                await line.occupy(len(part))
                if await self._may_move():
                    await loop.sock_sendall(sink, part)
            if self.lost:
                continue
            if isinstance(data, OSError):
                raise data
            if not data:
                sink.shutdown(socket.SHUT_WR)
                return

    async def _may_move(self) -> bool:
        """Waits while the link is stalled. False: the bytes vanish, and so do all later ones of this connection."""
        await self.wan.moving.wait()
        self.lost = self.lost or self.wan.mode == "half-open"
        return not self.lost


class Wan:
    """The relay, on a thread with a loop of its own; every method may be called from any thread.

    listen_port: on 127.0.0.1, 0 for a free one (`port` tells). target: host and port of the broker.
    rate_kbps: 1000 bit/s each way, None is unlimited. Each byte is late by delay_ms and 0 to jitter_ms more, one way.
    Raises OSError when the port is taken.
    """

    def __init__(
        self,
        listen_port: int,
        target: tuple[str, int],
        *,
        rate_kbps: float | None = None,
        delay_ms: float = 0,
        jitter_ms: float = 0,
    ) -> None:
        self.target = target
        self.delay_ms, self.jitter_ms = delay_ms, jitter_ms
        self.mode: Mode = "up"
        self.up, self.down = _Line(rate_kbps), _Line(rate_kbps)
        self._bound = self._bind(listen_port)
        self.port: int = self._bound.getsockname()[1]
        self._connections: set[_Connection] = set()
        self._accepting: asyncio.Task[None] | None = None
        self._loop = asyncio.new_event_loop()
        self._control: asyncio.Server | None = None
        self.moving = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_forever, name="wan", daemon=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listens from when it returns."""
        self._thread.start()
        self._call(self._set("up"))

    def stop(self) -> None:
        """Cuts everything and ends the thread. A second call does nothing."""
        if self._thread.is_alive():
            self._call(self._set("cut"))
            self._call(self._end_control())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(CALL_TIMEOUT_S)
            self._loop.close()
        self._bound.close()

    def restore(self) -> None:
        """The link is up again; see the table at the top of the module."""
        self._call(self._set("up"))

    def stall(self) -> None:
        """From now on no byte arrives, also not the rest of a message that is half through."""
        self._call(self._set("stall"))

    def half_open(self) -> None:
        """From now on all bytes vanish; nobody is told."""
        self._call(self._set("half-open"))

    def cut(self) -> None:
        """Kills every connection by RST to both sides and refuses new ones."""
        self._call(self._set("cut"))

    def set_rate(self, rate_kbps: float | None) -> None:
        """Both directions, from the next bytes on; None is unlimited. Raises ValueError unless it is above 0."""
        if rate_kbps is not None and rate_kbps <= 0:
            raise ValueError(f"rate_kbps is {rate_kbps:g}; it must be above 0 (use stall for none at all)")
        self.up.rate_kbps = self.down.rate_kbps = rate_kbps

    def state(self) -> dict[str, Any]:
        """{"mode", "port", "connections", "rate_kbps", "delay_ms", "jitter_ms", "up_bytes", "down_bytes"}."""
        return {
            "mode": self.mode,
            "port": self.port,
            "connections": len(self._connections),
            "rate_kbps": self.up.rate_kbps,
            "delay_ms": self.delay_ms,
            "jitter_ms": self.jitter_ms,
            "up_bytes": self.up.bytes,
            "down_bytes": self.down.bytes,
        }

    def command(self, line: str) -> dict[str, Any]:
        """Does one line of the control language (COMMANDS); the state after it, or {"error": ...}."""
        match line.split():
            case ["up" | "restore"]:
                self.restore()
            case ["stall"]:
                self.stall()
            case ["half-open"]:
                self.half_open()
            case ["cut"]:
                self.cut()
            case ["rate", "off"]:
                self.set_rate(None)
            case ["rate" | "delay" | "jitter" as what, number]:
                try:
                    value = float(number)
                    if what == "rate":
                        self.set_rate(value)
                    elif what == "delay":
                        self.delay_ms = max(0.0, value)
                    else:
                        self.jitter_ms = max(0.0, value)
                except ValueError as error:
                    return {"error": str(error)}
            case ["state"]:
                pass
            case _:
                return {"error": t("sim.wan.unknown", found=line.strip(), allowed=COMMANDS)}
        return self.state()

    def serve_control(self, path: Path) -> None:
        """Takes `command` lines on a Unix socket and answers each with one line of JSON."""
        self._call(self._serve_control(path))

    async def _serve_control(self, path: Path) -> None:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            async for line in reader:
                # in a thread of its own, since `command` waits for this loop
                answer = await asyncio.to_thread(self.command, line.decode(errors="replace"))
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
            writer.close()

        path.unlink(missing_ok=True)
        self._control = await asyncio.start_unix_server(talk, path)

    async def _end_control(self) -> None:
        if self._control:
            self._control.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            await _end(task)

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(CALL_TIMEOUT_S)

    @staticmethod
    def _bind(port: int) -> socket.socket:
        """A bound socket that does not listen refuses connections, and still keeps the port ours during a cut."""
        bound = socket.socket()
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        try:
            bound.bind(("127.0.0.1", port))
        except OSError:
            bound.close()
            raise
        bound.setblocking(False)
        return bound

    async def _set(self, mode: Mode) -> None:
        self.mode = mode
        if mode == "stall":
            self.moving.clear()
        else:
            self.moving.set()
        if mode == "cut":
            if self._accepting:
                await _end(self._accepting)
                self._accepting = None
                self._bound.close()
                self._bound = self._bind(self.port)
        elif not self._accepting:
            self._bound.listen(128)
            self._accepting = asyncio.create_task(self._accept())
        for connection in list(self._connections):
            if connection.task and (mode == "cut" or (mode == "up" and connection.lost)):
                await _end(connection.task)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            box, _ = await loop.sock_accept(self._bound)
            box.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = _Connection(self, box)
            connection.lost = self.mode == "half-open"
            self._connections.add(connection)
            connection.task = asyncio.create_task(self._relay(connection))

    async def _relay(self, connection: _Connection) -> None:
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)


async def _end(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.wait([task])


def add_command(commands: Any) -> None:
    """Registers `callbox-sim wan`."""
    parser = commands.add_parser("wan", help=t("sim.help.wan"), description=t("sim.wan.about", commands=COMMANDS))
    parser.add_argument("--listen", type=int, required=True, metavar="PORT")
    parser.add_argument("--to", required=True, metavar="HOST:PORT")
    parser.add_argument("--rate-kbps", type=float, metavar="N")
    parser.add_argument("--delay-ms", type=float, default=0, metavar="N")
    parser.add_argument("--jitter-ms", type=float, default=0, metavar="N")
    parser.add_argument("--control", type=Path, metavar="SOCKET")
    parser.set_defaults(func=_run)


def _run(args: argparse.Namespace) -> int:
    host, _, port = args.to.rpartition(":")
    if not host or not port.isdigit():
        print(t("sim.wan.target", found=args.to), file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        wan = Wan(args.listen, (host, int(port)), delay_ms=args.delay_ms, jitter_ms=args.jitter_ms)
        wan.set_rate(args.rate_kbps)
    except (OSError, ValueError) as error:
        print(t("sim.wan.failed", port=args.listen, error=error), file=sys.stderr)
        return 1
    with wan:
        if args.control:
            wan.serve_control(args.control)
        print(json.dumps(wan.state()), flush=True)
        for line in sys.stdin:
            print(json.dumps(wan.command(line)), flush=True)
        until_stopped()  # the input has ended, the link has not
    return 0
