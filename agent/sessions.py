"""The sessions as the loop has them: opened, one by one, once the box is armed."""

import time
from typing import TYPE_CHECKING, Final

from agent.mail import Acked, Connect, Drop, Probe, Publish
from agent.mailbox import Mailbox

if TYPE_CHECKING:
    from agent.config import Config
    from agent.mqtt import Session

LINK_S: Final = 0.5
"""How long the first session waits for wires that neither open nor fail: longer, and a dead one would hold up the
alarms of the others."""


class Sessions:
    """Those that stand or are being opened, by name."""

    def __init__(self, config: "Config", mailbox: Mailbox) -> None:
        self._config, self._mailbox = config, mailbox
        self._open: dict[str, Session] = {}
        self._connects: list[Connect] = []
        """Sessions to be opened once the box is armed, or that has taken LINK_S."""
        self._from_s = float("inf")

    def begin(self) -> None:
        """The box has started; from here on LINK_S counts."""
        self._from_s = time.monotonic() + LINK_S

    def do(self, action: Connect | Drop | Probe | Publish) -> None:
        """What the box wants of them; `open_wanted` opens."""
        match action:
            case Publish(session):
                if session in self._open:
                    self._open[session].publish(action)
            case Connect():
                self._connects.append(action)
            case Drop(session):
                self._connects = [connect for connect in self._connects if connect.session != session]
                if session in self._open:
                    self._open.pop(session).close()
            case Probe(link):
                from agent.mqtt import probe

                probe(self._config.links[link], link, self._mailbox.answer)

    def open_wanted(self, *, armed: bool) -> None:
        """Opens what is to be opened, if it is time. Inputs first: paho, with the TLS and HTTP that it brings, takes a
        fifth of a start, and is not needed to arm."""
        if not self._connects or not (armed or time.monotonic() >= self._from_s):
            return
        from agent.mqtt import Session

        for connect in self._connects:
            self._open[connect.session] = Session(self._config, connect, self._mailbox.answer)
        self._connects.clear()

    def named(self, message: Acked) -> Acked:
        """With our token in place of paho's message id."""
        session = self._open.get(message.session)
        return Acked(message.session, (session and session.token(message.token)) or 0, message.code)

    def ended(self, session: str) -> None:
        """It is down by itself."""
        self._open.pop(session, None)

    def flush(self) -> None:
        """What was published goes out in one piece."""
        for session in self._open.values():
            session.flush()

    def progress(self) -> dict[str, float]:
        """When each last made progress, monotonic."""
        return {f"mqtt {name}": session.progress_s for name, session in self._open.items()}

    def close(self, wait_s: float) -> None:
        """All of them, each within `wait_s`."""
        for session in self._open.values():
            session.close()
        for session in self._open.values():
            session.join(wait_s)
