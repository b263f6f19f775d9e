"""What a disk that lost its supply has of a file: by the sector what was synced, what was written since, or garbage."""

import random
from typing import Final

SECTOR: Final = 512


def torn(old: bytes, new: bytes, rng: random.Random) -> bytes:
    """Some, all or none of what was written since the last sync.

    Written sectors alone are harmed, and in them only bytes that the write changed (SQLite counts on that by default:
    `SQLITE_POWERSAFE_OVERWRITE`). What `new` is shorter by is kept as it was.
    """
    if old == new:
        return new
    base = old + bytes(max(0, len(new) - len(old)))
    new += base[len(new) :]
    changed = [at for at in range(0, len(new), SECTOR) if base[at : at + SECTOR] != new[at : at + SECTOR]]
    match rng.randrange(5):
        case 0:
            return old
        case 1:
            return new
        case 2:  # in order, up to somewhere
            at = rng.randrange(changed[0], len(new)) if changed else len(old)
            return (new[:at] + old[at:]) if len(old) > at else new[:at]
        case kind:
            image = bytearray(new)
            for at in changed:
                if rng.random() < 0.5:
                    image[at : at + SECTOR] = base[at : at + SECTOR]
                elif kind == 4 and rng.random() < 0.3:
                    _garble(image, base, at, rng)
            return bytes(image)


def _garble(image: bytearray, base: bytes, at: int, rng: random.Random) -> None:
    for byte in range(at, min(at + SECTOR, len(image))):
        if image[byte] != base[byte]:
            image[byte] = rng.randrange(256)
