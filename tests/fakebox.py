"""A box made of nothing but the contract: signs and chains events by hand, for the tests of central and of its page."""

import base64
import hashlib
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def stamp(ago_s: float = 0.0) -> str:
    moment = datetime.now(UTC) - timedelta(seconds=ago_s)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


@dataclass
class FakeBox:
    """Its events are made in order, each chained to the last."""

    name: str = "jiangyang/kiosk-017"
    journal: str = "9b1deb4d"
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    seq: int = 0
    timequality: str = "synced"
    slow_s: float = 0.0  # how far its clock is behind
    prevhash: str = b64(bytes(32))

    @property
    def root(self) -> str:
        return f"callbox/1/{self.name}"

    @property
    def public_key(self) -> str:
        return b64(self.key.public_key().public_bytes_raw())

    def event(
        self, kind: str, ago_s: float = 0.0, signer: Ed25519PrivateKey | None = None, id: str = "", **data: Any
    ) -> bytes:
        """The next event; kind: `alarm.panic` and so on."""
        self.seq += 1
        event: dict[str, Any] = {
            "specversion": "1.0",
            "id": id or str(uuid.uuid4()),
            "source": f"/callbox/{self.name}",
            "type": f"callbox.{kind}",
            "time": stamp(ago_s + self.slow_s),
            "datacontenttype": "application/json",
            "journal": self.journal,
            "boxseq": self.seq,
            "boot": "5f0c2a9e",
            "timequality": self.timequality,
            "prevhash": self.prevhash,
            "data": {"monotonic_s": 1.0, **data},
        }
        payload = rfc8785.dumps({**event, "sig": b64((signer or self.key).sign(rfc8785.dumps(event)))})
        self.prevhash = b64(hashlib.sha256(payload).digest())
        return payload

    def press(self, case: str = "", count: int = 1, ago_s: float = 0.0, **data: Any) -> bytes:
        """A panic button, pressed."""
        case_of: dict[str, Any] = {"case": case} if case else {}
        return self.event(
            "alarm.panic", ago_s, transition="raised", cid=120, count=count, input="alarm-1", **case_of, **data
        )

    def evidence(self, case: str, camera: str, *files: dict[str, Any], last: bool = False, **data: Any) -> bytes:
        """Names files of evidence."""
        more: dict[str, Any] = {"last": True} if last else {}
        return self.event("status.evidence", case=case, camera=camera, files=list(files), **more, **data)

    def state(self, session: str = "c0ffee01", **more: Any) -> bytes:
        return rfc8785.dumps(
            {
                "online": True,
                "session": session,
                "boot": "5f0c2a9e",
                "agent": "1.0.0",
                "name": "Baita Road kiosk",
                "journal": self.journal,
                "seq": self.seq,
                "pending": {"alarm": 0, "trouble": 0, "scan": 0, "status": 0, "audit": 0, "media_bytes": 0},
                "inputs": {"alarm-1": {"value": "idle", "quality": "good"}},
                "trouble": [],
                "key": self.public_key,
                "time": stamp(self.slow_s),
                **more,
            }
        )
