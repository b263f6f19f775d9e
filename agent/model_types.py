"""What the contract's messages are made of: names, times, hashes, keys, and their limits in a JSON Schema."""

from collections.abc import Callable
from typing import Annotated, Any


class Limits:
    """What a JSON Schema says of a value beside its type: `Annotated[str, Limits(pattern=...)]`."""

    def __init__(self, **keywords: Any) -> None:
        self.keywords = keywords

    def __get_pydantic_json_schema__(self, core: Any, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        """Called by pydantic, which is known to `agent.schemas` alone."""
        return {**handler(core), **self.keywords}


Name = Annotated[str, Limits(pattern="^[A-Za-z0-9][A-Za-z0-9_.-]{0,39}$")]
Uuid = Annotated[str, Limits(pattern="^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")]
Short = Annotated[str, Limits(pattern="^[0-9a-f]{8}$")]
Hash = Annotated[str, Limits(pattern="^[A-Za-z0-9_-]{43}$")]
Key = Annotated[str, Limits(pattern="^[A-Za-z0-9_-]{43}$")]
Signature = Annotated[str, Limits(pattern="^[A-Za-z0-9_-]{86}$")]
Sha256 = Annotated[str, Limits(pattern="^[0-9a-f]{64}$")]
Seq = Annotated[int, Limits(minimum=1)]
Count = Annotated[int, Limits(minimum=0)]
Time = Annotated[str, Limits(format="date-time", pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z$")]
Moment = Annotated[str, Limits(format="date-time")]
Span = Annotated[list[Seq], Limits(minItems=2, maxItems=2)]
"""[first, last], both included."""
