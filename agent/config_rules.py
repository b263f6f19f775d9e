"""Rules of an alarm that a config must not break, each with the name by which `callbox check` refuses it.

`docs/alarms.md` has the table, with the source of each.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from agent.config_errors import KeyPath, show
from agent.kinds import KINDS
from agent.text import t

if TYPE_CHECKING:
    from agent.config_model import Config

HOLDUP_DEBOUNCE_MS_MAX: Final = 50
"""The shortest press that is promised never to be missed."""


def broken(config: "Config") -> Iterator[tuple[KeyPath, str, str]]:
    """(key, what was found, the rule and what it allows) of each rule that this config breaks."""
    for n, entry in enumerate(config.inputs):
        if KINDS[entry.kind].holdup and entry.debounce_ms > HOLDUP_DEBOUNCE_MS_MAX:
            allowed = t("config.rule.holdup_delay", most_ms=HOLDUP_DEBOUNCE_MS_MAX)
            yield ("inputs", n, "debounce_ms"), str(entry.debounce_ms), allowed
    kinds = {entry.id: entry.kind for entry in config.inputs}
    for n, output in enumerate(config.outputs):
        for m, name in enumerate(output.inputs):
            if KINDS[kinds[name]].silent:
                yield ("outputs", n, "inputs", m), show(name), t("config.rule.silent_siren", kind=kinds[name])
    for n, neighbour in enumerate(config.neighbours):
        if neighbour.box == config.box.id:
            yield ("neighbours", n, "box"), show(neighbour.box), t("config.rule.neighbour_itself")
    ways = len(config.links) + len(config.paths)
    if config.profile == "dp4" and "profile" in config.model_fields_set and ways < 2:
        yield ("profile",), t("config.rule.one_way"), t("config.rule.two_ways")
