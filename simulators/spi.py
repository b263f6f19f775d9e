"""gpiozero's SPI at the simulated board: an MCP3008 at chip select 0 and one at 1.

The bits are those of the chip's data sheet (Microchip DS21295): after the select falls, the first 1 is the start; then
single or differential, and three bits of channel; a clock to sample, a null bit, and ten bits of the level, the highest
first.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gpiozero.mixins import SharedMixin
from gpiozero.pins import SPI
from gpiozero.pins.pi import spi_port_device

if TYPE_CHECKING:
    from simulators.pins import SimFactory

CHANNELS = 8
FULL_SCALE = 1023


def mcp3008(sent: list[int], level: Callable[[int], int]) -> list[int]:
    """The bytes that come back for the bytes `sent`. level: of a channel, 0 to 1023."""
    bits = [byte >> bit & 1 for byte in sent for bit in range(7, -1, -1)]
    back = [0] * len(bits)
    if 1 in bits:
        single, d2, d1, d0 = (*bits[bits.index(1) + 1 :], 0, 0, 0, 0)[:4]
        channel = d2 << 2 | d1 << 1 | d0
        found = level(channel) if single else max(0, level(channel) - level(channel ^ 1))
        first = bits.index(1) + 7
        for at, bit in zip(range(first, len(back)), range(9, -1, -1), strict=False):
            back[at] = found >> bit & 1
    return [int("".join(map(str, back[at : at + 8])), 2) for at in range(0, len(back), 8)]


class SimSPI(SPI):  # type: ignore[misc]  # gpiozero is untyped
    """One chip select."""

    def __init__(
        self, clock_pin: int, mosi_pin: int, miso_pin: int, select_pin: int, pin_factory: "SimFactory"
    ) -> None:
        super().__init__(pin_factory=pin_factory)
        _, self._select = spi_port_device(clock_pin, mosi_pin, miso_pin, select_pin)
        self._closed = False
        pin_factory.converter(self._select)

    def close(self) -> None:
        self._closed = True
        super().close()

    @property
    def closed(self) -> bool:
        return self._closed

    def transfer(self, data: list[int]) -> list[int]:
        """Raises ConnectionError when the board is gone."""
        factory: SimFactory = self.pin_factory
        factory.check()
        return mcp3008(list(data), factory.converters[self._select].__getitem__)

    def _get_bits_per_word(self) -> int:
        return 8

    def _get_clock_mode(self) -> int:
        return 0


class SimSPIShared(SharedMixin, SimSPI):  # type: ignore[misc]  # the same
    """All channels of a chip share one."""

    @classmethod
    def _shared_key(cls, *, select_pin: int, pin_factory: Any, **_: int) -> Any:
        return (pin_factory, select_pin)
