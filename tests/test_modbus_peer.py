"""The Modbus driver against pymodbus' own servers: RTU over a pair of ptys, and TCP."""

import asyncio
import os
import pty
import select
import threading
import tty
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from driver_host import RecordingHost, running, until
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.server.base import ModbusBaseServer
from pymodbus.simulator import DataType, SimData, SimDevice

from drivers.contract import Edge, Health
from drivers.modbus import ModbusDriver, ModbusInput, ModbusOptions, ModbusOutput

DEADLINE_S = 10.0
INPUTS = {
    "door": ModbusInput(channel=3),
    "coil": ModbusInput(channel=5, table="coil"),
    "far": ModbusInput(channel=16, unit=2),
    "presses": ModbusInput(channel=2, unit=2, table="input"),
    "turns": ModbusInput(channel=4, unit=2, table="holding"),
    "nowhere": ModbusInput(channel=900, unit=2),
}


class Peer:
    """A server of two modules in a loop of its own."""

    def __init__(self, make: Callable[[list[SimDevice]], ModbusBaseServer]) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.server = self._do(self._start, make)

    async def _start(self, make: Callable[[list[SimDevice]], ModbusBaseServer]) -> ModbusBaseServer:
        server = make([_module(1), _module(2)])
        await server.serve_forever(background=True)
        return server

    def _do(self, what: Callable[..., Awaitable[Any]], *args: object) -> Any:
        async def call() -> Any:
            return await what(*args)

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(DEADLINE_S)

    def put(self, unit: int, function: int, channel: int, value: int) -> None:
        values = [bool(value)] if function in (2, 5) else [value]
        self._do(self.server.async_setValues, unit, function, channel - 1, values)

    def coil(self, unit: int, channel: int) -> bool:
        return bool(self._do(self.server.async_getValues, unit, 1, channel - 1, 1)[0])

    def close(self) -> None:
        self._do(self.server.shutdown)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE_S)
        self._loop.close()


def _module(unit: int) -> SimDevice:
    bits = [SimData(0, values=[False] * 16, datatype=DataType.BITS)]
    counts = [SimData(0, count=16, values=0, datatype=DataType.REGISTERS)]
    return SimDevice(unit, simdata=(bits, [*bits], counts, [*counts]))


@contextmanager
def pty_pair() -> Iterator[tuple[str, str]]:
    """Two serial ports whose wires are joined."""
    ends = [pty.openpty() for _ in range(2)]
    for _, port in ends:
        tty.setraw(port)
    wake, woken = os.pipe()
    masters = [master for master, _ in ends]

    def join() -> None:
        while True:
            ready = select.select([*masters, wake], [], [])[0]
            if wake in ready:
                return
            for n, master in enumerate(masters):
                if master in ready:
                    os.write(masters[1 - n], os.read(master, 4096))

    thread = threading.Thread(target=join)
    thread.start()
    try:
        yield os.ttyname(ends[0][1]), os.ttyname(ends[1][1])
    finally:
        os.write(woken, b"x")
        thread.join(DEADLINE_S)
        for end in (*ends[0], *ends[1], wake, woken):
            os.close(end)


@pytest.fixture(params=["rtu", "tcp"])
def wired(request: pytest.FixtureRequest) -> Iterator[tuple[Peer, ModbusOptions]]:
    if request.param == "rtu":
        with pty_pair() as (theirs, ours):
            peer = Peer(lambda modules: ModbusSerialServer(modules, port=theirs, baudrate=115200))
            yield peer, ModbusOptions(port=ours, baud=115200)
            peer.close()
    else:
        peer = Peer(lambda modules: ModbusTcpServer(modules, address=("127.0.0.1", 0)))
        port = peer.server.transport.sockets[0].getsockname()[1]
        yield peer, ModbusOptions(tcp=f"127.0.0.1:{port}")
        peer.close()


def take(host: RecordingHost, count: int) -> set[tuple[str, object]]:
    taken = [host.take() for _ in range(count)]
    return {
        (each.input, each.active if isinstance(each, Edge) else each.quality)
        for each in taken
        if isinstance(each, Edge | Health)
    }


def test_another_implementation_is_read_and_written_in_every_table(wired: tuple[Peer, ModbusOptions]) -> None:
    peer, options = wired
    driver = ModbusDriver("relay8", options, INPUTS, {"siren": ModbusOutput(channel=7)})
    with running(driver) as host:
        assert take(host, 6) == {
            ("door", False),
            ("coil", False),
            ("far", False),
            ("presses", "good"),
            ("turns", "good"),
            ("nowhere", "offline"),
        }
        for unit, function, channel, name in ((1, 2, 3, "door"), (1, 5, 5, "coil"), (2, 2, 16, "far")):
            for on in (True, False):
                peer.put(unit, function, channel, on)
                assert take(host, 1) == {(name, on)}
        for function, channel, name in ((4, 2, "presses"), (6, 4, "turns")):
            peer.put(2, function, channel, 2)
            assert take(host, 4) == {(name, True), (name, False)}
        for on in (True, False):
            driver.set("siren", on)
            until(lambda on=on: peer.coil(1, 7) == on)  # type: ignore[misc]
    assert driver.noise == 0
