"""The watch over the way to central: its troubles, link by link, and how well it has served. Pure."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from agent.compliance import Compliance
from agent.events import Event
from agent.link import STEADY_S
from agent.ranges import Range
from agent.recorder import Recorder
from agent.uplink import Uplink

if TYPE_CHECKING:
    from agent.config import Config

WAY_TROUBLE_S: Final = 10.0
"""One of several links that failed is a trouble of its own after this."""
KEEP_S: Final = 900.0
"""What was measured is written to the disk this often."""
SETTING: Final = "compliance"


class Supervision:
    """Called at every tick."""

    def __init__(self, config: "Config", stored: str, uplink: Uplink, recorder: Recorder) -> None:
        """stored: the measure of an earlier run."""
        self._config, self._uplink, self._recorder = config, uplink, recorder
        now = recorder.now
        self.compliance = Compliance(stored, config.timing.dead_s, now.mono_s, now.wall_us / 1e6)
        self._good_s = self._kept_s = now.mono_s
        self._trouble_s = config.timing.trouble_s
        self._sessions = 0
        self.shows = False
        """The way to central is broken in a way that the place may see."""
        self._quiet = False
        self._proven_s = float("-inf")

    def tick(self) -> None:
        """Troubles that begin or end, and what is to be remembered."""
        now = self._recorder.now
        self.compliance.tick(now.mono_s)
        if self._uplink.proven_s > self._proven_s:
            self._proven_s = self._uplink.proven_s
            self.compliance.heard(self._proven_s)
        self._watch_ways(now.mono_s)
        self._watch_link(now.mono_s)
        if now.mono_s >= self._kept_s + KEEP_S:
            self.keep()

    def keep(self) -> None:
        """Remembers the measure on the disk."""
        now = self._recorder.now
        self._kept_s = now.mono_s
        self._recorder.keep({SETTING: self.compliance.stored(now.mono_s, now.wall_us / 1e6)})

    def recorded(self, event: Event) -> None:
        if event.cls == "alarm":
            self.compliance.recorded(event.seq, self._recorder.now.mono_s)

    def delivered(self, ranges: Sequence[Range]) -> None:
        self.compliance.delivered(ranges, self._recorder.now.mono_s)

    def _watch_ways(self, now_s: float) -> None:
        ways = self._uplink.link.ways
        if len(ways) < 2:
            return
        for way, link in zip(ways, self._config.links, strict=True):
            name = f"link {link.url}"
            if not way.reason:
                self._recorder.trouble_over(name)
            elif now_s >= way.since_s + WAY_TROUBLE_S or name in self._recorder.troubles:
                self._recorder.trouble(name, way.reason)

    def _watch_link(self, now_s: float) -> None:
        uplink, link = self._uplink, self._uplink.link
        lasts = link.state == "up" and now_s >= link.since_s + STEADY_S
        if lasts or uplink.proven_by_central_s > self._good_s:
            self._good_s, self._sessions = now_s, uplink.sessions
        reason, seen_by_an_event = "", False
        if now_s >= self._good_s + self._trouble_s:
            what = "lasts" if uplink.sessions > self._sessions else f"for {self._trouble_s:.0f} s"
            reason = f"no session {what}: {link.reason or 'no answer; check the way to the broker'}"
            if what == "lasts":  # a broker that throws one client out for another of its name may not say so
                reason += "; see whether this box's id is used twice"
        elif link.state == "up" and uplink.protocol != "5" and self._config.delivery == "puback":
            reason = "`delivery: puback` demands MQTT 5, and this broker has none: nothing counts as delivered"
        elif uplink.refusal:
            reason = f"the broker refuses this box's events (reason code 0x{uplink.refusal:02x}): check its ACL"
        elif uplink.silent_s is not None and now_s >= uplink.silent_s + self._trouble_s:
            seen_by_an_event = True
            if uplink.taken_s < uplink.silent_s:
                reason = "the broker does not acknowledge this box's events: check it"
            elif uplink.nobody_listens:
                reason = "nobody at central listens to this box's events (reason code 0x10): check that central runs"
            else:
                reason = (
                    "the broker takes this box's events, and central does not say that it stored any: check central"
                )
        # The event that shows it may be a silent alarm: then neither lamp nor log at the place may tell of it.
        self.shows = bool(reason) and not seen_by_an_event
        if reason:
            self._recorder.trouble("link", reason, silent=seen_by_an_event)
        elif link.state == "up":
            self._recorder.trouble_over("link", silent=self._quiet)
        self._quiet = seen_by_an_event
