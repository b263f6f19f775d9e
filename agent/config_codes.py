"""What scanned codes are for: lists and patrols. A part of `agent/config_model.py`."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from agent.config_errors import Fault
from agent.config_types import Keys, Name, number, wrong
from agent.text import t

DAY_MIN = 24 * 60
TimeOfDay = Annotated[str, Field(pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$")]


class CodeList(Keys):
    """Codes of things and papers, brought by the `list` command."""

    name: Name = Field(description="its name, in commands and events")
    kind: Literal["allow", "watch"] = Field(
        description="allow: the lamp says whether a code is on it; watch: a code on it is an alarm"
    )
    hashed: bool = Field(False, description="kept as HMACs under the site's key alone; needs key_file")


class Patrol(Keys):
    """Rounds of officers, who check in at a point."""

    name: Name = Field(description="its name, in events")
    input: str = Field(description="id of the input of kind patrol at which they check in")
    every_min: int = number(1, DAY_MIN, "min", "a round is to be done within so long after the last one")
    grace_min: int = number(0, DAY_MIN, "min", "a round that is so much late is not yet missed", 10)
    from_: TimeOfDay = Field(
        "00:00", alias="from", description="when its hours begin, in the time zone of the operating system"
    )
    to: TimeOfDay = Field("00:00", description="when they end; the same as from: never")
    tags: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        (), description="codes of the tags that count; none: all do"
    )

    @model_validator(mode="after")
    def _a_round_within_its_hours(self) -> Self:
        open_min = (self.to_minute - self.from_minute) % DAY_MIN or DAY_MIN
        if self.every_min > open_min:
            raise wrong(Fault(("every_min",), str(self.every_min), t("config.patrol_every", minutes=open_min)))
        return self

    @property
    def from_minute(self) -> int:
        """Of the day."""
        return _minute(self.from_)

    @property
    def to_minute(self) -> int:
        """Of the day."""
        return _minute(self.to)


def _minute(time: str) -> int:
    return int(time[:2]) * 60 + int(time[3:])
