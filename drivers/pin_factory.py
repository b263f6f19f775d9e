"""gpiozero's pins for one driver at a time: lgpio, or what GPIOZERO_PIN_FACTORY names.

Each driver has a factory of its own and gives it up with its wire, so that two of them (a chip's pins, a converter at
its SPI) do not take the pins out of each other's hands, and what a dead chip leaves behind meets no later one.
"""

import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gpiozero import Device

from drivers.contract import DriverError

PI_REVISION = Path("/sys/firmware/devicetree/base/system/linux,revision")
PI_4B = 0xC03111
"""Stands in for a board that is no Raspberry Pi: gpiozero wants one, for the names of pins 0 to 27 of chip 0."""


@contextmanager
def pin_factory() -> Iterator[Any]:
    """A factory, closed with all its pins at the end. Raises what its back end raises."""
    # By itself gpiozero would fall back to ever worse back ends, with no more than a warning.
    factory = Device._default_pin_factory() if "GPIOZERO_PIN_FACTORY" in os.environ else _lgpio_factory()
    # gpiozero would share these among all factories of the process, and closing one would close the pins of all.
    factory.pins, factory._reservations = {}, defaultdict(list)
    try:
        yield factory
    finally:
        factory.close()


@contextmanager
def pin_errors(where: str) -> Iterator[None]:
    """Each back end has exceptions of its own: whatever they raise in here is a DriverError."""
    try:
        yield
    except DriverError:
        raise
    except Exception as error:
        raise DriverError(where, f"{type(error).__name__}: {error}", _hint(error)) from error


def _hint(error: Exception) -> str:
    if isinstance(error, ImportError):
        return "install the back end (pip install callbox[gpio]), or correct GPIOZERO_PIN_FACTORY"
    hints = {
        "GPIOPinInUse": "another input or output has this pin: correct the config",
        "PinInvalidPin": "this board has no such pin: correct the config (BCM numbers, not positions on the header)",
        "SPISoftwareFallback": "switch the SPI on (dtparam=spi=on; ls -l /dev/spidev*, group spi), or correct `select`",
        "PinFixedPull": "a resistor on the board pulls this pin: set `pull` to that, or use another pin",
    }
    if hint := hints.get(type(error).__name__):
        return hint
    if factory := os.environ.get("GPIOZERO_PIN_FACTORY"):
        return f"look at what GPIOZERO_PIN_FACTORY={factory} needs; without that variable lgpio is used"
    return "see that the chip is there and readable (ls -l /dev/gpiochip*, group gpio) and its pins free (gpioinfo)"


def _lgpio_factory() -> Any:
    """gpiozero's lgpio factory, also for boards that are no Pi, and under ProcSubset=pid, which hides the revision."""
    from gpiozero.pins.lgpio import LGPIOFactory

    class ChipFactory(LGPIOFactory):  # type: ignore[misc]  # gpiozero is untyped
        def _get_revision(self) -> int:
            try:
                return int.from_bytes(PI_REVISION.read_bytes()[:4], "big")
            except OSError:
                return PI_4B

    return ChipFactory()
