"""Where the box is, as events tell it."""

from typing import Annotated, Literal, NotRequired

from typing_extensions import TypedDict  # typing's own is known to pydantic from 3.12 on

from agent.model_types import Limits, Name


class Place(TypedDict):
    """Where the box was, as far as its satellite receiver knew."""

    lat: NotRequired[Annotated[float, Limits(minimum=-90, maximum=90)]]
    """degrees, north positive (WGS 84); without it the place was not known since the box started"""
    lon: NotRequired[Annotated[float, Limits(minimum=-180, maximum=180)]]
    """degrees, east positive"""
    age_s: NotRequired[Annotated[float, Limits(minimum=0)]]
    """how old the place was, in seconds"""
    stale: NotRequired[Literal[True]]
    """it was older than 30 s, or not known: the box may be elsewhere"""
    speed_mps: NotRequired[Annotated[float, Limits(minimum=0)]]
    """metres a second"""
    course_deg: NotRequired[Annotated[float, Limits(minimum=0, maximum=360)]]
    """the way it went, over ground, from true north"""
    satellites: NotRequired[Annotated[int, Limits(minimum=0)]]
    """satellites used"""
    hdop: NotRequired[Annotated[float, Limits(minimum=0)]]
    """horizontal dilution of precision: below 2 good, above 5 poor"""


class PositionData(Place):
    """Where the box is, by distance and by time: of the thing on the wall or in the car, and of no person."""

    input: Name
    """the receiver's id in the config"""
