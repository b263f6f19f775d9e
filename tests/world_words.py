"""What the trace of a simulated world says of messages and actions."""

import json

from agent.mail import Publish, Write


def short(value: object) -> str:
    """For the trace: bodies are long."""
    if isinstance(value, Write):
        types = [json.loads(event.body)["type"] for event in value.events]
        first = value.events[0].seq if value.events else 0
        marks = f"delivered {value.delivered} owe {value.owe} parked {value.parked} {value.settings}"
        return f"Write {first} {types} cases {list(value.cases)} {marks}"
    if isinstance(value, Publish):
        return f"Publish {value.token} {value.topic} {value.payload[:40]!r}..."
    return str(value)[:200]
