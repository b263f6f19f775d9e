"""What the box says of itself: to central in the retained state, and at the place by `callbox status`. Pure."""

from typing import TYPE_CHECKING, Any, cast

from agent import __version__
from agent.alarms import Alarms
from agent.events import rfc3339
from agent.identity import b64
from agent.media import Media
from agent.messages import BoxState, Pending
from agent.neighbours import Neighbours
from agent.outputs import Outputs
from agent.position import Position
from agent.recorder import Recorder
from agent.supervision import Supervision
from agent.uplink import Uplink
from agent.zones import Zones

if TYPE_CHECKING:
    from agent.config import Config


class Report:
    """Reads the other rooms of the box, and changes nothing."""

    def __init__(
        self,
        config: "Config",
        recorder: Recorder,
        zones: Zones,
        media: Media,
        outputs: Outputs,
        neighbours: Neighbours,
        position: Position,
    ) -> None:
        self._config, self._recorder, self._zones, self._media = config, recorder, zones, media
        self._outputs, self._neighbours, self._position = outputs, neighbours, position

    def state(self) -> BoxState:
        """The payload of `{root}/state`, without its session."""
        recorder = self._recorder
        return {
            "online": True,
            "boot": recorder.boot,
            "agent": __version__,
            "name": self._config.box.name,
            "journal": recorder.journal,
            "seq": recorder.seq,
            "pending": cast(Pending, {**recorder.pending, "media_bytes": self._media.uploads.bytes}),
            "inputs": self._zones.state(),
            # What is shown for a neighbour is the neighbour's to tell.
            "outputs": {id: entry for id, entry in self._outputs.state().items() if entry["role"] != "neighbour"},
            "trouble": sorted(recorder.troubles),
            "key": b64(recorder.public),
            "time": rfc3339(recorder.now.wall_us),
        }

    def status(self, alarms: Alarms, uplink: Uplink, supervision: Supervision) -> dict[str, Any]:
        """The state with the reasons of its troubles, and the link.

        It may be read at the place: whether a silent button is or was pressed is not in it.
        """
        link, state, silent = uplink.link, self.state(), self._zones.silent
        stuck = {f"stuck {name}" for name in silent}
        return {
            **state,
            "box": f"{self._config.box.site}/{self._config.box.id}",
            "inputs": {
                name: {**entry, "value": "hidden"} if name in silent else entry
                for name, entry in state["inputs"].items()
            },
            "outputs": self._outputs.state(),
            "neighbours": self._neighbours.status(),
            "trouble": {name: reason for name, reason in self._recorder.troubles.items() if name not in stuck},
            "position": self._position.place(self._recorder.now.mono_s),
            "open_alarms": len(alarms.shown),
            "links": [
                {"url": config.url, "in_use": at == link.index and link.state == "up", "reason": way.reason}
                for at, (config, way) in enumerate(zip(self._config.links, link.ways, strict=True))
            ],
            "profile": self._config.profile,
            "compliance": supervision.compliance.report(self._recorder.now.mono_s),
            "link": {
                "state": link.state,
                "url": self._config.links[link.index].url,
                "since_s": round(self._recorder.now.mono_s - link.since_s, 1),
                "protocol": uplink.protocol if link.state == "up" else "",
                "reason": link.reason,
            },
        }
