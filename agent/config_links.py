"""The ways to central as the config has them, and the times that a profile of EN 50136-1 sets: a part of
`agent/config_model.py`."""

import re
from dataclasses import dataclass, replace
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from agent.config_errors import Fault, show
from agent.config_types import File, Keys, secrets, wrong
from agent.text import t

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
