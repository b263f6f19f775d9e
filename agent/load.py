"""A file of evidence on its way to central, and its pieces. Pure."""

from dataclasses import dataclass
from typing import Final

from agent.media_mail import OwedFile

RECEIPT_TIMEOUT_S: Final = 10.0
"""So long after the last piece without a word of central's it is sent again from where central is; then ever later."""
RESEND_S_MAX: Final = 300.0


@dataclass(slots=True)
class Load:
    """A file on its way. stored: central has so many bytes of it; sent: so many are on their way or there.

    progress_s: when something last moved. rounds: how often it began anew. resends: how often in vain. puts: PUTs of it
    that began; by_put: what is sent went so; put_reason: why the last one has not delivered it, until that is said.
    """

    file: OwedFile
    stored: int
    sent: int
    progress_s: float = 0.0
    rounds: int = 0
    resends: int = 0
    marked: int = 0
    marked_s: float = 0.0
    puts: int = 0
    by_put: bool = False
    put_reason: str = ""

    @property
    def order(self) -> tuple[bool, int, int, str]:
        """As the journal has them; case ids are UUIDv7: the newest is the largest."""
        return (
            not self.file.key_frame,
            -int(self.file.case.replace("-", "") or "0", 16),
            self.file.seq,
            self.file.sha256,
        )

    @property
    def timeout_s(self) -> float:
        return float(min(RECEIPT_TIMEOUT_S * 2**self.resends, RESEND_S_MAX))

    @property
    def held_until_s(self) -> float:
        """When it goes again, after it was sent in vain."""
        return self.progress_s + self.timeout_s / 2 if self.resends else 0.0

    def again(self, now_s: float) -> None:
        """From where central is, after a pause that grows."""
        self.sent, self.progress_s = self.stored, now_s
        self.resends = min(self.resends + 1, 16)


@dataclass(frozen=True, slots=True)
class Flight:
    """A piece without its PUBACK; start, end: of it, counted from the start of the file."""

    sha256: str
    start: int
    end: int
    since_s: float
