"""A GPIO board on a Unix socket: JSON lines.

    client -> board   {"pin": 17, "level": 0}       drives the pin, until somebody drives it otherwise
                      {"pin": 17, "level": null}    lets go: the pin goes to its pull, without one to 0
                      {"pin": 17, "chatter": 10000} changes it so often a second, until somebody drives it or lets go
                      {"pin": 17, "pull": "up"}     its resistor: up, down or none; answered with the level it has now
                      {"spi": 0, "channel": 3, "level": 512}    what the converter at this chip select, 0 or 1, measures
                      {"spi": 0}                    answered with the levels of its channels, 1023 where nothing is
    board -> client   {"pin": 27, "level": 1, "t": 5233.117}    at connect each known pin, then changes; t: monotonic
                      {"pin": 17, "level": 1, "t": 5233.118, "pull": "up"}    the answer, to its sender only
                      {"spi": 0, "channel": 3, "level": 512, "t": 5233.119}     changes
                      {"spi": 0, "levels": [1023, 1023, ...], "t": 5233.120}    the answer
                      {"error": "..."}              that line was skipped

A pin belongs to nobody: what a client drives stays when the client goes, as a hand's wire in a socket.
"""

import argparse
import asyncio
import json
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from agent.text import t
from simulators.process import until_stopped

PIN_MAX = 53
LEVEL_MAX = 1023
CHATTER_PER_S_MAX = 20_000
CHATTER_EVERY_S = 0.001
LINE_BYTES_MAX = 1024
UNREAD_BYTES_MAX = 65536
"""A client that leaves more than this unread is cut off, so that it cannot grow the board."""
START_TIMEOUT_S = 5.0

Pull = Literal["up", "down", "none"]
T = TypeVar("T")


@dataclass(slots=True)
class _Pin:
    driven: int | None = None
    pull: Pull = "none"
    level: int = 0
    t: float = 0.0
    chatter: asyncio.Task[None] | None = None


class Board:
    """Serves the board from a thread of its own between `start` and `stop`; levels live as long as the object.

    path: of the socket; a dead one of an earlier board is replaced. All methods may be called from any thread.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._pins: dict[int, _Pin] = {}
        self._converters = [[LEVEL_MAX] * 8, [LEVEL_MAX] * 8]
        self._clients: set[asyncio.StreamWriter] = set()
        self._watchers: list[Callable[[int, int, float], None]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listens from when it returns. Raises OSError: the path cannot be bound, or another board answers there."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="board", daemon=True)
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(START_TIMEOUT_S)
        except OSError:
            self._end_thread()
            raise

    def stop(self) -> None:
        """Cuts all clients off and removes the socket. A second call does nothing."""
        if self._loop:
            asyncio.run_coroutine_threadsafe(self._hang_up(), self._loop).result(START_TIMEOUT_S)
            self._end_thread()

    def drive(self, pin: int, level: Literal[0, 1]) -> None:
        """Puts the pin to this level. Raises ValueError for a pin outside 0 to PIN_MAX."""
        self._command({"pin": pin, "level": level})

    def release(self, pin: int) -> None:
        """Lets go of the pin: it goes to its pull, without one to 0."""
        self._command({"pin": pin, "level": None})

    def chatter(self, pin: int, per_s: int) -> None:
        """Changes the pin so often a second, while the board is started, until it is driven or released."""
        self._command({"pin": pin, "chatter": per_s})

    def measure(self, select: Literal[0, 1], channel: int, level: int) -> None:
        """The level of a channel, 0 to 7, of a converter from now on. Raises ValueError: it is not 0 to LEVEL_MAX."""
        self._command({"spi": select, "channel": channel, "level": level})

    def levels(self) -> dict[int, int]:
        """The level of each known pin."""
        return self._in_loop(lambda: {number: pin.level for number, pin in self._pins.items()})

    def watch(self, changed: Callable[[int, int, float], None]) -> None:
        """`changed(pin, level, t)` for each change, in order, in the board's thread; it must not block or raise."""
        self._in_loop(lambda: self._watchers.append(changed))

    def _command(self, command: dict[str, Any]) -> None:
        self._in_loop(lambda: self._do(command))

    def _in_loop(self, do: Callable[[], T]) -> T:
        """Only the board's thread touches the pins, so that each client sees the changes in one order."""
        if not self._loop or threading.current_thread() is self._thread:
            return do()

        async def call() -> T:
            return do()

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(START_TIMEOUT_S)

    async def _listen(self) -> None:
        with suppress(FileNotFoundError, ConnectionRefusedError), socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(self.path))
            raise FileExistsError(f"another board answers on {self.path}")
        # replaces a dead socket, and raises OSError for anything else that is in the way
        self._server = await asyncio.start_unix_server(self._serve, self.path, limit=LINE_BYTES_MAX)

    async def _hang_up(self) -> None:
        self._server.close()
        self.path.unlink(missing_ok=True)
        for client in list(self._clients):
            client.transport.abort()
        for pin in self._pins.values():
            self._calm(pin)
        serving = asyncio.all_tasks() - {asyncio.current_task()}
        if serving:
            await asyncio.wait(serving)

    def _end_thread(self) -> None:
        if self._loop and self._thread:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
        self._loop = self._thread = None

    async def _serve(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        for number, pin in self._pins.items():
            self._send(client, {"pin": number, "level": pin.level, "t": pin.t})
        self._clients.add(client)
        try:
            while True:
                try:
                    line = await reader.readline()
                    if not line:
                        return
                    answer = self._do(json.loads(line))
                except (ValueError, RecursionError) as error:  # an overlong line, no JSON, no such pin
                    answer = {"error": str(error)}
                if answer:
                    self._send(client, answer)
        except OSError:
            pass  # the client is gone: nothing is owed to it
        finally:
            self._clients.discard(client)
            client.close()

    def _do(self, command: Any) -> dict[str, Any] | None:
        """Raises ValueError, with nothing changed."""
        match command:
            case {"pin": int(number), "level": 0 | 1 | None as level, **rest} if not rest and _is_pin(number, level):
                pin = self._pins.setdefault(number, _Pin(t=time.monotonic()))
                self._calm(pin)
                pin.driven = level
                self._settle(number, pin)
                return None
            case {"pin": int(number), "chatter": int(per_s), **rest} if not rest and _is_pin(number, per_s):
                if not 1 <= per_s <= CHATTER_PER_S_MAX:
                    raise ValueError(
                        f"found a chatter of {per_s}, allowed is 1 to {CHATTER_PER_S_MAX} changes a second"
                    )
                pin = self._pins.setdefault(number, _Pin(t=time.monotonic()))
                self._calm(pin)
                pin.chatter = asyncio.get_running_loop().create_task(self._chatter(number, pin, per_s))
                return None
            case {"pin": int(number), "pull": "up" | "down" | "none" as pull, **rest} if not rest and _is_pin(number):
                pin = self._pins.setdefault(number, _Pin(t=time.monotonic()))
                pin.pull = pull
                self._settle(number, pin)
                return {"pin": number, "level": pin.level, "t": pin.t, "pull": pull}
            case {"spi": 0 | 1 as select, **rest} if not rest and type(select) is int:
                return {"spi": select, "levels": self._converters[select], "t": time.monotonic()}
            case {"spi": 0 | 1 as select, "channel": int(channel), "level": int(level), **rest} if (
                not rest and {type(select), type(channel), type(level)} == {int} and channel in range(8)
            ):
                if level not in range(LEVEL_MAX + 1):
                    raise ValueError(f"found level {level} of a channel, allowed is 0 to {LEVEL_MAX}")
                self._converters[select][channel] = level
                self._tell({"spi": select, "channel": channel, "level": level, "t": time.monotonic()})
                return None
        raise ValueError(
            f'found {str(command)[:80]!r}, allowed is {{"pin": 0 to {PIN_MAX}, "level": 0, 1 or null}}, '
            f'{{"pin": ..., "chatter": 1 to {CHATTER_PER_S_MAX}}}, {{"pin": ..., "pull": "up", "down" or "none"}}, '
            f'{{"spi": 0 or 1}} '
            f'or {{"spi": ..., "channel": 0 to 7, "level": 0 to {LEVEL_MAX}}}'
        )

    async def _chatter(self, number: int, pin: _Pin, per_s: int) -> None:
        began_s, done = time.monotonic(), 0
        while True:
            await asyncio.sleep(CHATTER_EVERY_S)
            due = int((time.monotonic() - began_s) * per_s)
            for _ in range(due - done):
                pin.driven = 1 - pin.level
                self._settle(number, pin)
            done = due

    def _calm(self, pin: _Pin) -> None:
        if pin.chatter:
            pin.chatter.cancel()
            pin.chatter = None

    def _settle(self, number: int, pin: _Pin) -> None:
        level = pin.driven if pin.driven is not None else int(pin.pull == "up")
        if level == pin.level:
            return
        pin.level, pin.t = level, time.monotonic()
        self._tell({"pin": number, "level": level, "t": pin.t})
        for changed in self._watchers:
            changed(number, level, pin.t)

    def _tell(self, message: dict[str, Any]) -> None:
        for client in list(self._clients):
            self._send(client, message)

    def _send(self, client: asyncio.StreamWriter, message: dict[str, Any]) -> None:
        if client.transport.get_write_buffer_size() > UNREAD_BYTES_MAX:
            client.transport.abort()
        elif not client.is_closing():
            client.write(json.dumps(message).encode() + b"\n")


def _is_pin(number: int, level: int | None = None) -> bool:
    """To Python true and 1.0 are 1; here they are no level and no pin."""
    return type(number) is int and 0 <= number <= PIN_MAX and (level is None or type(level) is int)


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Registers `callbox-sim board`."""
    parser = commands.add_parser("board", help=t("sim.help.board"), description=t("sim.board.about"))
    parser.add_argument("--socket", type=Path, required=True, metavar="PATH")
    parser.set_defaults(func=_run)


def _run(args: argparse.Namespace) -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    board = Board(args.socket)
    try:
        board.start()
    except OSError as error:
        print(t("sim.board.failed", path=args.socket, found=error), file=sys.stderr)
        return 1
    with suppress(KeyboardInterrupt):
        print(t("sim.board.up", path=args.socket), flush=True)
        until_stopped()
    board.stop()
    return 0
