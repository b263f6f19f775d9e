"""The doors of evidence as the loop has them: the cameras' processes, the files on their disk, and a PUT that runs."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from agent.camera_words import Wish
from agent.cameras import Cameras
from agent.mail import Message
from agent.media_mail import HoldPut, PutFile, ReadPiece, Unlink
from agent.spool import Known, Spool

if TYPE_CHECKING:
    from agent.config import Config
    from agent.put import Put

EyeAction = ReadPiece | Unlink | PutFile | HoldPut | Wish
"""What is done here."""


class Eyes:
    """Each action is handed on at once; what comes of it comes by `answer`, from other threads."""

    def __init__(self, config: "Config", answer: Callable[[Message], None]) -> None:
        self._config, self._answer = config, answer
        self._spool = Spool(config.state_dir, answer)
        self._put: Put | None = None
        self.cameras = Cameras(config, self._spool.folder, answer)

    def begin(self, known: Known | None) -> None:
        """The files are put in order, and then the cameras start. known: None for a journal in memory, which knows no
        file: none is touched."""
        if known is None:
            self.cameras.start()
        elif self._config.cameras or self._spool.folder.exists():
            self._spool.begin(known, self.cameras.start)

    def order(self, known: Known) -> None:
        """The files are put in order for a journal that is a new one."""
        self._spool.begin(known, lambda: None)

    def do(self, action: EyeAction) -> None:
        match action:
            case ReadPiece() | Unlink():
                self._spool.ask(action)
            case PutFile():
                from agent.put import Put  # and with it TLS: as late as paho

                self._put = Put(action, self._spool.folder, self._config.evidence.media_kbps, self._answer)
            case HoldPut(held):
                if self._put is not None:
                    self._put.hold(held)
            case _:
                self.cameras.tell(action)

    def stop(self, timeout_s: float) -> None:
        if self._put is not None:
            self._put.close()
        self.cameras.stop(timeout_s)
