"""The config as typed, frozen values: each key has its type, default, range and unit here, and nowhere else.

Paths that are not absolute count from the folder of the config file.
"""

import re
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, PrivateAttr, model_validator

from agent.config_errors import Fault, KeyPath, show
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
    secrets,
    wrong,
)
from agent.text import t
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
    "cancel",
    "reset",
]
Verb = Literal["acknowledge", "close", "resend", "capture", "output", "bulletin", "test", "list"]
Profile = Literal["dp4", "sp6", "relaxed"]
PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}


@dataclass(frozen=True, slots=True)
class Timing:
    """How soon central knows that the box or its line is dead, and how the box looks after its links.

    heartbeat_s: from one retained state to the next. keepalive_s: MQTT's; the broker publishes the last will after
    1.5 times that (MQTT 5, 3.1.2.10). dead_s: what the two promise together. retry_max_s: the longest pause between two
    tries to connect, full jitter from nothing; ten thousand boxes then come at less than 200 a second on average.
    ask_s: how often a spare link is asked whether somebody is there. trouble_s: so long without a session that lasts,
    or a word of central's, is a trouble; with the time in which a dead line is found (10 s) less than dead_s.
    """

    heartbeat_s: float
    keepalive_s: int
    dead_s: float
    retry_max_s: float
    ask_s: float
    trouble_s: float


TIMINGS: dict[Profile, Timing] = {
    # EN 50136-1 DP4: 90 s; three missed heartbeats are 75 s
    "dp4": Timing(heartbeat_s=25, keepalive_s=20, dead_s=90, retry_max_s=120, ask_s=60, trouble_s=30),
    # EN 50136-1 SP6: 20 s; the will comes after 12 s, three heartbeats 15 s
    "sp6": Timing(heartbeat_s=5, keepalive_s=8, dead_s=20, retry_max_s=60, ask_s=20, trouble_s=8),
    # UL: 200 s; for links that are paid by the byte
    "relaxed": Timing(heartbeat_s=60, keepalive_s=20, dead_s=200, retry_max_s=300, ask_s=300, trouble_s=60),
}


class Box(Keys):
    """Which box this is."""

    site: Slug = Field(description="the site it belongs to, as in its MQTT topics")
    id: Slug = Field(description="its name, one of its kind at the site")
    name: str = Field("", max_length=80, description="what people call it; default: its id")

    @model_validator(mode="before")
    @classmethod
    def _named(cls, data: Any) -> Any:
        named = isinstance(data, dict) and isinstance(data.get("id"), str)
        return {"name": data["id"], **data} if named else data


class Link(Keys):
    """One way to a broker. Files are named here and read when the link is opened."""

    url: str = Field(description="mqtt://, mqtts://, ws:// or wss:// HOST[:PORT][/PATH of a websocket]")
    ca: File | None = Field(
        None, description="PEM file of the private CA that signed the broker's certificate; default: the system's CAs"
    )
    cert: File | None = Field(None, description="PEM file of the box's client certificate; together with key")
    key: File | None = Field(None, description="PEM file of the client certificate's private key; together with cert")
    username_file: File | None = Field(None, description="file that holds the MQTT user name")
    password_file: File | None = Field(None, description="file that holds the MQTT password")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        faults = [replace(fault, path=("url",)) for fault in self._url_faults()]
        if not faults:
            plain = [key for key in ("ca", "cert", "key") if getattr(self, key) and not self.tls]
            faults += [Fault((key,), f"{self.scheme}://", t("config.tls_only", key=key)) for key in plain]
        for key, other in (("cert", "key"), ("key", "cert")):
            if getattr(self, key) and not getattr(self, other):
                faults.append(Fault((key,), t("config.alone", key=key), t("config.cert_and_key")))
        if self.password_file and not self.username_file:  # MQTT 3.1.1 has no password without a user name (3.1.2.9)
            faults.append(Fault(("password_file",), t("config.alone", key="password_file"), t("config.user_too")))
        if faults:
            raise wrong(*faults)
        return self

    def _url_faults(self) -> list[Fault]:
        if found := secrets(self.url):
            return found
        try:
            parts = urlsplit(self.url)
            ok = parts.port != 0 and parts.hostname
        except ValueError:  # a port that is none, a bracket that is not closed
            ok = False
        if not ok or parts.scheme not in PORTS or parts.query or parts.fragment or re.search(r"\s", self.url):
            return [Fault((), show(self.url), t("config.url"))]
        if parts.path and not self.websockets:
            return [Fault((), show(self.url), t("config.url_path"))]
        return []

    @property
    def scheme(self) -> str:
        return urlsplit(self.url).scheme

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or PORTS[self.scheme]

    @property
    def path(self) -> str:
        """Of a websocket; `/mqtt` unless the url names another."""
        return urlsplit(self.url).path or "/mqtt"

    @property
    def tls(self) -> bool:
        return self.scheme in ("mqtts", "wss")

    @property
    def websockets(self) -> bool:
        return self.scheme in ("ws", "wss")


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
    debounce_ms: int = number(0, 1000, "ms", "a change shorter than this is contact bounce, not a change", 20)

    @property
    def keys(self) -> Any:
        return self._own


class Output(Wired):
    """A lamp, buzzer, siren or relay. `keys`: the driver's Output."""

    id: Name = Field(description="its name")
    driver: str = Field(description="id of the wire it hangs on")
    role: Literal["feedback", "buzzer", "siren", "relay"] = Field(
        description="what it is for; feedback: the lamp of who presses"
    )
    color: Literal["amber", "green", "red"] | None = Field(
        None, description="of a feedback lamp, where there are several"
    )

    @model_validator(mode="after")
    def _color_of_a_lamp(self) -> Self:
        if self.color and self.role != "feedback":
            raise wrong(Fault(("color",), self.color, t("config.color")))
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


When = Annotated[
    Literal["always", "undelivered"], Field(description="undelivered: what MQTT has not delivered within 10 s")
]


class Dc09(Keys):
    """An alarm receiver (ANSI/SIA DC-09)."""

    id: Name = Field(description="its name")
    type: Literal["dc09"]
    address: Annotated[str, Field(pattern=r"^(tcp|udp)://[^\s/@]+:\d{1,5}$")] = Field(
        description="tcp://HOST:PORT or udp://HOST:PORT"
    )
    account: Annotated[str, Field(pattern="^[0-9A-Fa-f]{3,16}$")] = Field(
        description="the account at the receiver, hexadecimal"
    )
    when: When = "undelivered"


class Sms(Keys):
    """Text messages by a modem."""

    id: Name = Field(description="its name")
    type: Literal["sms"]
    port: str = Field(min_length=1, description="serial device of the modem")
    to: tuple[Annotated[str, Field(pattern=r"^\+[1-9]\d{6,14}$")], ...] = Field(
        min_length=1, description="numbers, as +8613800000000"
    )
    when: When = "undelivered"


class Operator(Keys):
    """Somebody whose commands the box obeys."""

    name: Name = Field(description="as in the source of commands, /operators/NAME")
    key: Ed25519Key = Field(description="Ed25519 public key, base64url")
    may: tuple[Verb, ...] = Field(description="the verbs allowed")


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
    receipt_timeout_s: float = number(1, 300, "s", "without a receipt an event is sent again after this", 10)
    profile: Profile = Field(
        "dp4", description="a dead box or line is known at central within: dp4 90 s, sp6 20 s, relaxed 200 s"
    )
    drivers: tuple[Driver, ...] = Field((), description="one entry a wire")
    inputs: tuple[Input, ...] = Field((), description="buttons, contacts, zones, scanners")
    outputs: tuple[Output, ...] = Field((), description="lamps, buzzers, sirens, relays")
    cameras: tuple[Camera, ...] = Field((), description="cameras for evidence")
    evidence: Evidence = Field(Evidence(recipients=(), media_kbps=None, put=()), description="how evidence is stored")
    previews: Previews = Field(Previews(pixelate=True), description="what `callbox preview` shows")
    paths: tuple[Annotated[Dc09 | Sms, Field(discriminator="type")], ...] = Field(
        (), description="ways out besides MQTT"
    )
    operators: tuple[Operator, ...] = Field((), description="whose commands the box obeys")
    retention: Retention = Field(Retention(), description="what is kept on the box")
    _lines: dict[KeyPath, int] = PrivateAttr(default_factory=dict)
    _file: str = PrivateAttr("")

    @property
    def root(self) -> str:
        """The topic root, `callbox/1/{site}/{box}`."""
        return f"callbox/1/{self.box.site}/{self.box.id}"

    @property
    def timing(self) -> Timing:
        return TIMINGS[self.profile]
