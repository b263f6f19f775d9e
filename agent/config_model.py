"""The config as typed, frozen values: each key has its type, default, range and unit here, and nowhere else.

Paths that are not absolute count from the folder of the config file.
"""

from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from agent.config_codes import CodeList, Patrol
from agent.config_errors import Fault, KeyPath, show
from agent.config_links import TIMINGS, Link, Profile, Timing
from agent.config_papers import Documents
from agent.config_types import (
    CameraSource,
    Ed25519Key,
    File,
    Keys,
    Mask,
    Name,
    PutPrefix,
    Slug,
    number,
    wrong,
)
from agent.text import t
from drivers import contract
from drivers.contract import DriverType

Kind = Literal[
    "panic",
    "duress",
    "holdup",
    "medical",
    "fire",
    "intrusion",
    "tamper",
    "ac",
    "battery",
    "scan",
    "patrol",
    "position",
    "cancel",
    "reset",
]
Verb = Literal["acknowledge", "close", "resend", "capture", "output", "bulletin", "test", "list"]


class Box(Keys):
    """Which box this is."""

    site: Slug = Field(description="the site it belongs to, as in its MQTT topics")
    id: Slug = Field(description="its name, one of its kind at the site")
    name: str = Field("", max_length=80, description="what people call it; default: its id")
    lang: Literal["en", "zh"] | None = Field(
        None, description="language of the messages that it sends to people; default: that of its system"
    )

    @model_validator(mode="before")
    @classmethod
    def _named(cls, data: Any) -> Any:
        named = isinstance(data, dict) and isinstance(data.get("id"), str)
        return {"name": data["id"], **data} if named else data


class Wired(Keys):
    """An entry with keys of its driver's beside the common ones; the driver's own dataclass checks and holds them."""

    own: ClassVar[type[Any] | None] = None
    _own: Any = PrivateAttr(None)

    @model_validator(mode="after")
    def _make_own(self) -> Self:
        if self.own:
            self._own = self.own(**{key.name: getattr(self, key.name) for key in fields(self.own) if key.init})
        return self


class Driver(Wired):
    """One wire."""

    id: Name = Field(description="its name, for inputs and outputs")
    type: str = Field(description="an installed driver, as gpio or line")
    _wire: Any = PrivateAttr(None)

    @property
    def wire(self) -> DriverType:
        """The driver's class."""
        wire: DriverType = self._wire
        return wire

    @property
    def options(self) -> Any:
        """The driver's Options."""
        return self._own


class Input(Wired):
    """A button, contact, zone or scanner. `keys`: the driver's Input."""

    id: Name = Field(description="its name, in events and on labels")
    driver: str = Field(description="id of the wire it hangs on")
    kind: Kind = Field(description="what it means")
    cameras: tuple[str, ...] = Field((), description="ids of the cameras that look at it")
    capture: Literal["clip", "picture"] | None = Field(
        None, description="what they record of it; default: a clip, of a scan or a patrol a picture"
    )
    read: tuple[Literal["codes", "mrz", "plate"], ...] = Field(
        (), description="of a contact of kind scan: what its first camera reads at each press; mrz and plate need [ocr]"
    )
    lists: tuple[str, ...] = Field((), description="of kind scan: names of the lists in which its codes are looked up")
    debounce_ms: int = number(0, 1000, "ms", "a change shorter than this is contact bounce, not a change", 20)

    @property
    def keys(self) -> Any:
        return self._own


class Output(Wired):
    """A lamp, buzzer, siren, strobe or relay. `keys`: the driver's Output."""

    id: Name = Field(description="its name")
    driver: str = Field(description="id of the wire it hangs on")
    role: Literal["feedback", "buzzer", "siren", "strobe", "relay", "neighbour"] = Field(
        description="what it is for; feedback: the lamp of who presses; relay: by command alone"
    )
    color: Literal["amber", "green", "red"] | None = Field(
        None, description="of a feedback lamp, where there are several"
    )

    inputs: tuple[str, ...] = Field(
        (), description="of a siren or strobe: ids of those that it answers; default: all alarms that are not silent"
    )
    longest_s: int = number(10, 900, "s", "a siren sounds for no longer in one go", 900)
    safe: Literal["off", "on"] = Field(
        "off", description="of a relay: how it stands without a command, and when the daemon is not there"
    )

    @model_validator(mode="after")
    def _keys_of_its_role(self) -> Self:
        roles = {"color": ("feedback",), "inputs": ("siren", "strobe"), "longest_s": ("siren",), "safe": ("relay",)}
        faults = [
            Fault((key,), show(getattr(self, key)), t("config.of_role", key=key, roles=", ".join(allowed)))
            for key, allowed in roles.items()
            if self.role not in allowed and getattr(self, key) != type(self).model_fields[key].default
        ]
        if faults:
            raise wrong(*faults)
        return self

    @property
    def keys(self) -> Any:
        return self._own


class Camera(Keys):
    """A camera whose pictures are evidence."""

    id: Name = Field(description="its name, for inputs")
    source: CameraSource = Field(min_length=1, description="rtsp://, http(s):// (MJPEG), /dev/videoN or a file")
    credentials_file: File | None = Field(None, description="file that holds USER:PASSWORD of the camera")
    before_s: int = number(0, 60, "s", "kept from before an alarm", 10)
    after_s: int = number(1, 300, "s", "recorded after an alarm", 20)
    masks: tuple[Mask, ...] = Field(
        (),
        max_length=16,
        description="polygons that are black in every picture of it; it then brings at most 5 pictures a second",
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.credentials_file and self.path:
            raise wrong(Fault(("credentials_file",), str(self.path), t("config.credentials")))
        return self

    @property
    def path(self) -> Path | None:
        """Of a device or file; None for an address."""
        return None if "://" in self.source else Path(self.source)


class Previews(Keys):
    """What `callbox preview` shows."""

    pixelate: bool = Field(True, description="in blocks, so that nobody can be recognised")


class Evidence(Keys):
    """How evidence is stored."""

    recipients: tuple[Annotated[str, Field(pattern="^age1[02-9ac-hj-np-z]{58}$")], ...] = Field(
        (), description="age public keys that files are encrypted to; none: files are stored as they are"
    )
    media_kbps: int | None = number(
        8, 1_000_000, "kbit/s", "files are sent no faster than this; default: as fast as the line is", None
    )
    put: tuple[PutPrefix, ...] = Field(
        (),
        description="how addresses that central names for a file's HTTPS PUT must begin; none: files go over MQTT",
    )


class PathOut(Wired):
    """A way out besides MQTT."""

    id: Name = Field(description="its name")
    type: str = Field(description="an installed path, as dc09 or sms")
    when: Literal["always", "undelivered"] = Field(
        "undelivered", description="what it sends: always all, or what MQTT has not delivered within 10 s"
    )
    _kind: Any = PrivateAttr(None)

    @property
    def classes(self) -> frozenset[str]:
        """Of the events that it takes."""
        return frozenset(self._kind.classes)

    @property
    def files(self) -> dict[str, Path]:
        """Those that its keys name."""
        named = {key.name: getattr(self, key.name) for key in fields(self.own)} if self.own else {}
        return {name: value for name, value in named.items() if isinstance(value, Path)}

    def make(self) -> contract.Path:
        """The path; opens nothing yet."""
        kind: contract.PathType = self._kind
        return kind(self.id, self._own)


class Operator(Keys):
    """Somebody whose commands the box obeys."""

    name: Name = Field(description="as in the source of commands, /operators/NAME")
    key: Ed25519Key = Field(description="Ed25519 public key, base64url")
    may: tuple[Verb, ...] = Field(description="the verbs allowed")


class Neighbour(Keys):
    """Another box of the site, whose alarms are shown here."""

    box: Slug = Field(description="its id")
    key: Ed25519Key = Field(description="its Ed25519 public key, base64url, as its `callbox keygen` prints it")
    name: str = Field("", max_length=80, description="what people call it; default: nothing")


class Power(Keys):
    """What the box does while its battery dies."""

    stop_after_low_s: int | None = number(
        0,
        86_400,
        "s",
        "mains out and battery low for so long: stop in order, and ask to power off; default: never",
        None,
    )


class Position(Keys):
    """How often a box with a satellite receiver tells where it is."""

    every_s: int = number(10, 86_400, "s", "status.position at least this often, while the receiver has a fix", 600)
    every_m: int = number(10, 100_000, "m", "and whenever it has moved so far since the last one", 200)


class Retention(Keys):
    """What is kept on the box."""

    days: int = number(1, 3650, "days", "delivered events are kept for", 180)
    journal_mb: int = number(16, 1_000_000, "MB", "of the journal; beyond it the oldest delivered events go", 1024)
    media_mb: int = number(0, 1_000_000, "MB", "evidence files at most", 4096)
    reserve_mb: int = number(
        0, 100_000, "MB", "of the disk left free for alarms, by a file that goes when the disk is full", 64
    )


class Config(Keys):
    """One whole config, as `agent.config.load` makes it."""

    box: Box = Field(description="which box this is")
    state_dir: File = Field(Path("/var/lib/callbox"), description="folder of the journal and the box's key")
    links: tuple[Link, ...] = Field(min_length=1, description="tried in order; the first that works is used")
    delivery: Literal["receipt", "puback"] = Field(
        "receipt", description="what counts as delivered; puback demands MQTT 5"
    )
    central_key: Ed25519Key | None = Field(
        None, description="receipts must be signed by this Ed25519 public key, base64url"
    )
    key_file: File | None = Field(
        None, description="file of the site's key, under which codes and document numbers are hashed"
    )
    receipt_timeout_s: float = number(1, 300, "s", "without a receipt an event is sent again after this", 10)
    profile: Profile = Field(
        "dp4", description="a dead box or line is known at central within: dp4 90 s, sp6 20 s, relaxed 200 s"
    )
    drivers: tuple[Driver, ...] = Field((), description="one entry a wire")
    inputs: tuple[Input, ...] = Field((), description="buttons, contacts, zones, scanners")
    outputs: tuple[Output, ...] = Field((), description="lamps, buzzers, sirens, relays")
    cameras: tuple[Camera, ...] = Field((), description="cameras for evidence")
    evidence: Evidence = Field(Evidence(recipients=(), media_kbps=None, put=()), description="how evidence is stored")
    documents: Documents = Field(Documents(), description="what is kept of documents, field by field")
    previews: Previews = Field(Previews(pixelate=True), description="what `callbox preview` shows")
    paths: tuple[PathOut, ...] = Field((), description="ways out besides MQTT")
    lists: tuple[CodeList, ...] = Field((), description="lists of codes of things and papers")
    patrols: tuple[Patrol, ...] = Field((), description="rounds of officers, who check in at a point")
    operators: tuple[Operator, ...] = Field((), description="whose commands the box obeys")
    neighbours: tuple[Neighbour, ...] = Field(
        (), max_length=16, description="boxes of the site whose alarms are shown by outputs of role neighbour"
    )
    power: Power = Field(Power(stop_after_low_s=None), description="what the box does while its battery dies")
    position: Position = Field(
        Position(every_s=600, every_m=200), description="how often a box with a satellite receiver tells where it is"
    )
    retention: Retention = Field(Retention(), description="what is kept on the box")
    _lines: dict[KeyPath, int] = PrivateAttr(default_factory=dict)
    _file: str = PrivateAttr("")
    _site_key: bytes = PrivateAttr(b"")

    @property
    def site_key(self) -> bytes:
        """As it was in `key_file` when the config was loaded; b"" where there was none that could be read."""
        return self._site_key

    @model_validator(mode="after")
    def _hashes_under_a_key(self) -> Self:
        hashed = [name for name, keep in self.documents.policy.items() if keep == "hash"]
        if hashed and self.key_file is None:
            raise wrong(*(Fault(("documents", name), "hash", t("config.hash")) for name in hashed))
        listed = [n for n, each in enumerate(self.lists) if each.hashed]
        if listed and self.key_file is None:
            raise wrong(*(Fault(("lists", n, "hashed"), "true", t("config.hash")) for n in listed))
        return self

    def make(self, entry: Driver) -> contract.Driver:
        """The driver of one wire, with all that hangs on it; opens nothing yet.

        Raises ValueError where its inputs and outputs do not go together.
        """
        inputs = {item.id: item.keys for item in self.inputs if item.driver == entry.id}
        outputs = {item.id: item.keys for item in self.outputs if item.driver == entry.id}
        return entry.wire(entry.id, entry.options, inputs, outputs)

    @property
    def root(self) -> str:
        """The topic root, `callbox/1/{site}/{box}`."""
        return f"callbox/1/{self.box.site}/{self.box.id}"

    @property
    def timing(self) -> Timing:
        return TIMINGS[self.profile]
