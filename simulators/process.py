"""Child processes that never outlive us: not after a crash, not after SIGKILL."""

import subprocess
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TERMINATE_S = 5.0
HEED_S = 0.5

# PR_SET_PDEATHSIG fires when the *thread* that forked ends, so all children come from one thread that never does.
_spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawn")


def spawn(argv: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Starts `argv` with its output appended to `log`; the kernel kills it when this process ends.

    The process has the id of `argv` itself: `setpriv` (util-linux) replaces itself by it. Raises OSError.
    """

    def start() -> subprocess.Popen[bytes]:
        with log.open("ab") as output:
            return subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=env,
                start_new_session=True,  # Ctrl-C in the terminal is for us, who then stop it in order
            )

    return _spawner.submit(start).result()


def stop(process: subprocess.Popen[bytes]) -> int:
    """SIGTERM, after TERMINATE_S SIGKILL; the exit code, as of `Popen`. A process that is gone is left alone."""
    process.terminate()
    try:
        return process.wait(TERMINATE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def until_stopped(stopped: threading.Event | None = None) -> None:
    """Waits for `stopped`, or for ever; what a signal's handler raises ends it.

    Also when the signal came an instant before the wait, or to another thread: Python calls the handler between two
    steps of the main thread, and a single wait without end has no second step.
    """
    stopped = stopped or threading.Event()
    while not stopped.wait(HEED_S):
        pass


def tail(log: Path, lines: int = 8) -> str:
    """The last lines of a log, for the message of an error; empty when there is none."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else ""
