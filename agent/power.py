"""A clean stop before the battery dies: when, and that it is asked for once. Pure.

    mains out and battery low, for stop_after_low_s --+
    who looks after the UPS switches it off ----------+--> the box stops, and asks the machine to power off

Where nobody heeds that, systemd starts the box again on the same run of the machine. Then it stays up and records until
the battery is empty, and asks anew only after the mains were back.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from agent.mail import Action, PowerOff, Say
from agent.recorder import Recorder
from agent.zones import Zones

if TYPE_CHECKING:
    from agent.config import Config

SETTING: Final = "poweroff"
"""The journal's setting that names the run of the machine that was asked to power off."""


class Power:
    """Asks the zones of mains and battery."""

    def __init__(
        self, config: "Config", settings: Mapping[str, str], zones: Zones, recorder: Recorder, out: list[Action]
    ) -> None:
        self._after_s = config.power.stop_after_low_s
        battery = {
            entry.id: getattr(entry.keys, "battery", "low") for entry in config.inputs if entry.kind == "battery"
        }
        self._mains = [entry.id for entry in config.inputs if entry.kind == "ac"]
        self._low = [name for name, means in battery.items() if means == "low"]
        self._ends = [name for name, means in battery.items() if means == "shutdown"]
        self._zones, self._recorder, self._out = zones, recorder, out
        self._asked = settings.get(SETTING) == recorder.boot
        self._since_s: float | None = None

    def tick(self) -> None:
        """Whether it is time to stop."""
        if self._after_s is None:
            return
        now_s = self._recorder.now.mono_s
        out, ends = self._zones.active(self._mains), self._zones.active(self._ends)
        if not out and not ends:
            self._since_s = None
            if self._asked and self._zones.heard(self._mains + self._ends):
                self._asked = False
                self._recorder.keep({SETTING: ""})
        elif self._asked:
            return
        elif ends:
            self._stop("the UPS is being switched off")
        elif not self._zones.active(self._low):
            self._since_s = None
        else:
            self._since_s = now_s if self._since_s is None else self._since_s
            if now_s >= self._since_s + self._after_s:
                self._stop(f"mains out and battery low for {self._after_s} s")

    def due_s(self) -> float | None:
        """When it may be time to stop."""
        if self._since_s is None or self._after_s is None or self._asked:
            return None
        return self._since_s + self._after_s

    def _stop(self, why: str) -> None:
        self._asked = True
        self._recorder.keep({SETTING: self._recorder.boot})
        self._out.append(Say("warning", f"{why}: the box stops, and asks the machine to power off"))
        self._out.append(PowerOff())
