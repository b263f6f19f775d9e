"""Modbus modules on one bus: RTU on a pty, or TCP. Each has 16 contacts, 16 relays, and a 16 bit counter for a contact.

Commands on stdin; 2/3 is channel 3 of unit 2, 3 alone is that of the first unit:

    on 2/3        closes the contact; its counter counts
    off 2/3       opens it
    pulse 2/3 5   five presses that are too short to be seen: the counter counts them, and nothing else
    count 2/3 N   sets the counter
    fault 2 WORD  of a unit: good silent crc foreign exception echo slow garbage
    reset 2       starts it anew: counters 0, relays off
    !unplug       pulls the cable of the adapter, or closes the connections; !plug puts it back

Whenever a relay changes, that is a line on stdout. Counters are input and holding registers alike.
"""

import argparse
import os
import signal
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Self

from agent.text import t
from simulators.line import LinePanel
from simulators.process import until_stopped

CHANNELS = 16
FAULTS = ("good", "silent", "crc", "foreign", "exception", "echo", "slow", "garbage")
COMMANDS = "on U/C, off U/C, pulse U/C N, count U/C N, fault U WORD, reset U, !unplug, !plug"
SLOW_S = 0.4
TURNAROUND_S = 0.01
REQUEST_BYTES = 8
LOOK_S = 0.05
QUIET_S = 0.2
"""After this a request that is not whole is forgotten."""


class Module:
    """One unit: what it knows, and how it answers."""

    def __init__(self, number: int) -> None:
        self.number, self.fault = number, "good"
        self.contacts = [False] * CHANNELS
        self.coils = [False] * CHANNELS
        self.counts = [0] * CHANNELS

    def answer(self, function: int, address: int, value: int) -> bytes:
        """Function and data of the answer."""
        if self.fault == "exception":
            return bytes((function | 0x80, 2))
        if function == 5:
            if address >= CHANNELS or value not in (0, 0xFF00):
                return bytes((0x85, 2 if address >= CHANNELS else 3))
            self.coils[address] = bool(value)
            return struct.pack(">BHH", 5, address, value)
        if function not in (1, 2, 3, 4):
            return bytes((function | 0x80, 1))
        if not 0 < value <= CHANNELS - address:
            return bytes((function | 0x80, 2))
        if function > 2:
            counts = self.counts[address : address + value]
            return struct.pack(f">BB{value}H", function, 2 * value, *counts)
        bits = (self.coils if function == 1 else self.contacts)[address : address + value]
        number = sum(bit << n for n, bit in enumerate(bits))
        return bytes((function, (value + 7) // 8)) + number.to_bytes((value + 7) // 8, "little")


class Modules:
    """All units of a bus. Safe from any thread."""

    def __init__(self, numbers: Iterable[int], relay: Callable[[int, int, bool], None] = lambda *_: None) -> None:
        """relay: told unit, channel from 1 on, and how a relay is now."""
        self._lock = threading.Lock()
        self._relay = relay
        self.units = {number: Module(number) for number in numbers}

    def asked(self, number: int, function: int, address: int, value: int) -> tuple[bytes, str] | None:
        """The answer, with the unit, and the fault to send it with; None: nobody answers."""
        with self._lock:
            module = self.units.get(number)
            if module is None or module.fault == "silent":
                return None
            before = list(module.coils)
            answer = bytes((number,)) + module.answer(function, address, value)
            if module.fault == "foreign":
                answer = bytes((number + 6,)) + answer[1:]
        for n, (old, new) in enumerate(zip(before, module.coils, strict=True), 1):
            if old != new:
                self._relay(number, n, new)
        return answer, module.fault

    def obey(self, line: str) -> bool:
        """Does one line of stdin about a unit; False where it makes no sense."""
        match line.split():
            case ["on" | "off" as word, place] if at := self._place(place):
                module, channel = at
                with self._lock:
                    module.counts[channel] = (module.counts[channel] + (word == "on")) & 0xFFFF
                    module.contacts[channel] = word == "on"
            case ["pulse" | "count" as word, place, n] if (at := self._place(place)) and n.isascii() and n.isdigit():
                module, channel = at
                with self._lock:
                    module.counts[channel] = (int(n) + (module.counts[channel] if word == "pulse" else 0)) & 0xFFFF
            case ["fault", number, word] if word in FAULTS and (unit := self._unit(number)):
                unit.fault = word
            case ["reset", number] if unit := self._unit(number):
                with self._lock:
                    unit.coils, unit.counts = [False] * CHANNELS, [0] * CHANNELS
            case _:
                return False
        return True

    def _unit(self, number: str) -> Module | None:
        return self.units.get(int(number)) if number.isascii() and number.isdigit() else None

    def _place(self, text: str) -> tuple[Module, int] | None:
        number, _, channel = text.rpartition("/")
        unit = self._unit(number) if number else next(iter(self.units.values()))
        if unit is None or not (channel.isascii() and channel.isdigit() and 1 <= int(channel) <= CHANNELS):
            return None
        return unit, int(channel) - 1


def checksum(frame: bytes) -> bytes:
    """CRC-16 of Modbus, as it is sent."""
    value = 0xFFFF
    for byte in frame:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ 0xA001 if value & 1 else value >> 1
    return struct.pack("<H", value)


class SerialBus:
    """The modules behind an adapter: a pty. baud: answers take as long as on such a line; 0: no time.

    Raises OSError, as LinePanel does.
    """

    def __init__(self, modules: Modules, link: Path | None = None, baud: int = 0) -> None:
        self._modules, self._baud = modules, baud
        self._panel = LinePanel(link)
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="modbus-rtu", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()
        self._panel.close()

    @property
    def path(self) -> str:
        """What stands as `port` in the config."""
        return self._panel.path

    def plug(self) -> None:
        with self._lock:
            self._panel.plug()

    def unplug(self) -> None:
        with self._lock:
            self._panel.unplug()

    def send(self, data: bytes) -> None:
        """Bytes that nobody asked for."""
        with self._lock:
            self._panel.send(data)

    def _serve(self) -> None:
        unread, quiet_s = b"", 0.0
        while not self._stopped.is_set():
            with self._lock:
                data = self._panel.receive(LOOK_S)
            quiet_s = 0.0 if data else quiet_s + LOOK_S
            unread = b"" if quiet_s >= QUIET_S else unread + data
            if not data:
                self._stopped.wait(0.001)  # the lock is for others too
            while len(unread) >= REQUEST_BYTES:
                frame = unread[:REQUEST_BYTES]
                if checksum(frame[:-2]) != frame[-2:]:
                    unread = unread[1:]
                    continue
                unread = unread[REQUEST_BYTES:]
                if found := self._modules.asked(*struct.unpack(">BBHH", frame[:-2])):
                    self._answer(frame, *found)

    def _answer(self, request: bytes, body: bytes, fault: str) -> None:
        answer = body + checksum(body)
        if fault == "crc":
            answer = answer[:-1] + bytes((answer[-1] ^ 1,))
        elif fault == "echo":
            answer = request
        elif fault == "garbage":
            answer = os.urandom(len(answer))
        if fault == "slow":
            threading.Timer(SLOW_S, self.send, (answer,)).start()
            return
        if self._baud:
            self._stopped.wait(TURNAROUND_S + (len(request) + len(answer)) * 10 / self._baud)
        self.send(answer)


class TcpBus:
    """The modules behind a gateway on 127.0.0.1. port 0: any that is free. Raises OSError."""

    def __init__(self, modules: Modules, port: int = 0) -> None:
        self._modules = modules
        self._connections: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self._port = port
        self.plug()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.unplug()

    @property
    def path(self) -> str:
        """What stands as `tcp` in the config."""
        return f"127.0.0.1:{self._port}"

    def plug(self) -> None:
        """It listens, and goes on at the port that it had."""
        if self._listener:
            return
        self._listener = socket.create_server(("127.0.0.1", self._port))
        self._port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), name="modbus-tcp", daemon=True).start()

    def unplug(self) -> None:
        """Nobody listens any more, and each connection is closed."""
        if self._listener:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)  # else the thread would hold it open in `accept`
            self._listener.close()
        self._listener = None
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                self._connections.add(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        unread = b""
        with connection, suppress(OSError):
            while data := connection.recv(4096):
                unread += data
                while len(unread) >= 12:
                    request, unread = unread[:12], unread[12:]
                    if found := self._modules.asked(*struct.unpack(">BBHH", request[6:])):
                        self._answer(connection, request, *found)
        self._connections.discard(connection)

    def _answer(self, connection: socket.socket, request: bytes, body: bytes, fault: str) -> None:
        protocol = 1 if fault == "crc" else 0  # there is no checksum; this is what a spoilt frame looks like
        answer = request[:2] + struct.pack(">HH", protocol, len(body)) + body
        if fault == "echo":
            answer = request
        elif fault == "garbage":
            answer = os.urandom(len(answer))
        if fault == "slow":
            threading.Timer(SLOW_S, _send, (connection, answer)).start()
        else:
            _send(connection, answer)


def _send(connection: socket.socket, data: bytes) -> None:
    with suppress(OSError):
        connection.sendall(data)


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Registers `callbox-sim modbus`."""
    parser = commands.add_parser("modbus", help=t("sim.help.modbus"), description=t("sim.modbus.about"))
    parser.add_argument("--units", type=_numbers, default="1", metavar="N,N", help=t("sim.modbus.units"))
    parser.add_argument("--link", type=Path, metavar="PATH", help=t("sim.line.link"))
    parser.add_argument("--baud", type=int, default=0, metavar="N", help=t("sim.modbus.baud"))
    parser.add_argument("--tcp", type=int, metavar="PORT", help=t("sim.modbus.tcp"))
    parser.set_defaults(func=_run)


def _numbers(text: str) -> list[int]:
    numbers = [int(part) for part in text.split(",")]
    if not all(0 < number < 248 for number in numbers):
        raise ValueError(text)
    return numbers


def _run(args: argparse.Namespace) -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    modules = Modules(args.units, _say_relay)
    bus: SerialBus | TcpBus
    try:
        bus = SerialBus(modules, args.link, args.baud) if args.tcp is None else TcpBus(modules, args.tcp)
    except OSError as error:
        print(t("sim.modbus.failed", found=error), file=sys.stderr)
        return 1
    with bus, suppress(KeyboardInterrupt):
        print(bus.path, flush=True)
        for line in map(str.strip, sys.stdin):
            if line == "!unplug":
                bus.unplug()
            elif line == "!plug":
                bus.plug()
                print(bus.path, flush=True)
            elif line and not modules.obey(line):
                print(t("sim.line.unknown", found=line, allowed=COMMANDS), flush=True)
        until_stopped()  # the input has ended, the modules have not
    return 0


def _say_relay(unit: int, channel: int, on: bool) -> None:
    print(t("sim.modbus.on" if on else "sim.modbus.off", unit=unit, channel=channel), flush=True)
