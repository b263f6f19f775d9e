"""The config of the simulated worlds' box, and the keys of all who take part."""

from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fakebox import b64

from agent.config import Config, load

CONFIG: Final = """
box: {site: test, id: box-1, name: "Box of the simulated world"}
state_dir: /var/lib/callbox
links: [{url: "mqtt://first"}, {url: "mqtt://second"}]
central_key: CENTRAL
drivers: [{id: gpio0, type: gpio}, {id: panel, type: line, port: /dev/panel}]
inputs:
  - {id: alarm-1, driver: gpio0, pin: 17, kind: panic, cameras: [gate, hall]}
  - {id: fire-1, driver: gpio0, pin: 18, kind: fire}
  - {id: counter, driver: gpio0, pin: 5, kind: holdup}
  - {id: door, driver: gpio0, pin: 22, kind: tamper, debounce_ms: 100}
  - {id: mains, driver: gpio0, pin: 6, kind: ac}
  - {id: key, driver: gpio0, pin: 16, kind: reset}
  - {id: desk, driver: panel, pressed: '^S:(?P<code>.+)$', kind: scan, cameras: [gate]}
cameras:
  - {id: gate, source: "rtsp://gate", before_s: 5, after_s: 6}
  - {id: hall, source: "rtsp://hall", before_s: 0, after_s: 4}
retention: {media_mb: 0}
outputs:
  - {id: amber, driver: gpio0, pin: 27, role: feedback, color: amber}
  - {id: green, driver: gpio0, pin: 23, role: feedback, color: green}
  - {id: red, driver: gpio0, pin: 24, role: feedback, color: red}
paths:
  - {id: receiver, type: dc09, when: always, address: "tcp://10.0.0.5:12000", account: "1234"}
  - {id: modem, type: sms, port: /dev/modem, to: ["+8613800000000"]}
operators:
  - {name: duty, key: OPERATOR, may: [acknowledge, close, resend, test, capture]}
  - {name: guest, key: GUEST, may: [output]}
"""


def _key(name: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(name.encode().ljust(32))


BOX_KEY, CENTRAL_KEY, OPERATOR_KEY, GUEST_KEY = map(_key, ("box", "central", "operator", "guest"))


def load_config(folder: Path) -> Config:
    """The config of every world, read once."""
    text = CONFIG
    for word, key in (("CENTRAL", CENTRAL_KEY), ("OPERATOR", OPERATOR_KEY), ("GUEST", GUEST_KEY)):
        text = text.replace(word, b64(key.public_key().public_bytes_raw()))
    file = folder / "box.yaml"
    file.write_text(text)
    return load(file)
