"""The walk test: what is pressed meanwhile is marked `test`, and in the end each point is told as tested or not. Pure.

It ends by itself. Cases that it opened are closed with it, so that no lamp goes on showing a test; a fault found on the
way stays a fault. A crash ends it: what it had opened is closed at the next start, and no point is told.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from agent.alarms import Alarms
from agent.models import WalktestData
from agent.recorder import Recorder

WALK_S_MAX: Final = 600
"""docs/alarms.md, walk test."""
TESTED: Final = 611
NOT_TESTED: Final = 612
"""Contact ID of a point."""
SETTING: Final = "walktest"
BY: Final = "walktest"


class Walktest:
    """At most one at a time; `until_s` is its end, None while there is none."""

    def __init__(self, points: Sequence[str], settings: Mapping[str, str], alarms: Alarms, recorder: Recorder) -> None:
        """points: ids of the inputs. settings: the journal's."""
        self._points, self._alarms, self._recorder = points, alarms, recorder
        self._seen: set[str] = set()
        self._left_over = settings.get(SETTING) == "1"
        self.until_s: float | None = None

    def start(self) -> None:
        """The box starts; an earlier run may have ended in the middle of one."""
        if self._left_over:
            self._over(None)

    def begin(self, by: str, for_s: float) -> None:
        """From now on for `for_s`, at most WALK_S_MAX; one that is under way goes on until then."""
        if self.until_s is None:
            self._seen.clear()
        self.until_s = self._recorder.now.mono_s + for_s
        data: WalktestData = {"test": True, "transition": "raised", "by": by, "for_s": for_s}
        self._recorder.record("status.walktest", "box", data, settings={SETTING: "1"})
        self._recorder.testing = True

    def end(self, by: str) -> None:
        """Somebody ends it, or its time is over."""
        if self.until_s is not None:
            self._over(by)

    def saw(self, point: str) -> None:
        """An input was pressed, or has read a code."""
        self._seen.add(point)

    def tick(self, now_s: float) -> None:
        if self.until_s is not None and now_s >= self.until_s:
            self._over(BY)

    def due_s(self) -> float | None:
        return self.until_s

    def _over(self, by: str | None) -> None:
        """by: None when nobody knows what was tested."""
        self.until_s, self._left_over, self._recorder.testing = None, False, True
        for case in [case for case in self._alarms.open.values() if case.test]:
            self._alarms.close(case, BY, "", self._recorder.now)
        self._recorder.testing = False
        data: WalktestData = {"test": True, "transition": "restored"}
        if by is not None:
            data["by"] = by
            data["points"] = [
                {"input": point, "cid": TESTED if point in self._seen else NOT_TESTED} for point in self._points
            ]
        self._recorder.record("status.walktest", "box", data, settings={SETTING: "0"})
