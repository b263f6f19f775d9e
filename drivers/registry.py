"""Finds driver classes by `type`: entry points of the group `callbox.drivers`. Standard library only.

A driver may come in a wheel of its own: installed means known. Its module is imported only when a config uses it,
so a driver that cannot be imported harms nobody else.
"""

import sys
from functools import cache
from importlib.metadata import EntryPoint, EntryPoints, entry_points

from drivers.contract import DriverType

GROUP = "callbox.drivers"


class NoDriverError(LookupError):
    """No usable driver has this type: unknown, broken, or installed twice. The text says which and what to do."""


@cache
def _points(_path: tuple[str, ...]) -> EntryPoints:
    """All of our group, once for each sys.path: to look through what is installed takes 14 ms, and a start waits."""
    return entry_points(group=GROUP)


def installed() -> list[str]:
    """The types that a config can name, sorted; a broken one is among them."""
    return sorted(_points(tuple(sys.path)).names)


def shipped(package: str) -> list[str]:
    """The types that this distribution brings, sorted: what stands in its own documents, whatever else is installed."""
    points = _points(tuple(sys.path))
    return sorted({point.name for point in points if point.dist and point.dist.name == package})


def driver_type(name: str) -> DriverType:
    """The class for `type: name`. Raises NoDriverError."""
    points: dict[str, EntryPoint] = {point.value: point for point in _points(tuple(sys.path)).select(name=name)}
    if not points:
        raise NoDriverError(f"driver type {name!r} is not installed; installed are: {', '.join(installed())}")
    if len(points) > 1:
        raise NoDriverError(
            f"driver type {name!r} is installed more than once ({', '.join(sorted(points))}); uninstall all but one"
        )
    [(value, point)] = points.items()
    try:
        found: DriverType = point.load()
        return found
    except Exception as error:
        source = f"{point.dist.name} {point.dist.version}" if point.dist else "an unknown package"
        raise NoDriverError(
            f"driver type {name!r} ({value}, from {source}) cannot be imported: {type(error).__name__}: {error}; "
            f"install what it needs or update the package"
        ) from error
