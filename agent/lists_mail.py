"""What the deciding thread and that of the code lists say to each other: values only, a part of `agent.mail`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple


class Entry(NamedTuple):
    """A code on a list. expires_s: seconds since 1970 from which it is on it no more; None: never."""

    code: str
    expires_s: float | None = None


# ---- in


class LookedUp(NamedTuple):
    """On which lists the code of question `ref` is. reason: why not all of them could be asked, "" when all were."""

    ref: int
    found: tuple[str, ...]
    reason: str = ""


class ListChanged(NamedTuple):
    """The change `ref` is on the disk: fsync returned. reason: why nothing of it was done, "" when it was.

    codes: how many the list, or the version that is not yet valid, has now.
    """

    ref: int
    codes: int
    reason: str = ""


class ListsStand(NamedTuple):
    """How many codes each list has that was brought. reason: why the lists cannot be used, or are new ones."""

    codes: Mapping[str, int]
    reason: str


# ---- out


class LookUp(NamedTuple):
    """Is this code on one of these lists at this wall second? The answer is `LookedUp`."""

    ref: int
    lists: tuple[str, ...]
    code: str
    wall_s: float


@dataclass(frozen=True, slots=True)
class ChangeList:
    """Codes are taken out and put in, all or none; what is in both is put in. The answer is `ListChanged`.

    version: of a list that is to take the place of the one before; "" for the one that is valid. count: with a version,
    it is whole and has so many codes: from now on it is the list. wall_s: what has expired by then goes; None: nobody
    vouches for the clock.
    """

    ref: int
    name: str
    add: tuple[Entry, ...]
    remove: tuple[str, ...] = ()
    version: str = ""
    count: int | None = None
    wall_s: float | None = None


ListMessage = LookedUp | ListChanged | ListsStand
ListAction = LookUp | ChangeList
