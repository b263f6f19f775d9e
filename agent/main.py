"""Builds the box out of its config and runs it, and starts it anew on SIGHUP."""

import fcntl
import logging
import os
import signal
import sys
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import IO, Final

from agent import config as config_module
from agent import notify
from agent.clock import Clock, boot_id
from agent.errors import BoxError
from agent.identity import KEY_FILE, Ed25519Signer, Signer, load_or_make_key
from agent.journal import Journal
from agent.loop import Loop
from agent.storage import Found, open_journal, renewed_journal
from agent.threads import SIGNALS

log = logging.getLogger("callbox")
LOCK = "lock"
NO_LOCK = "state_dir cannot be written; check the disk and whom it belongs to"
SWITCH_S: Final = 0.0001
"""How long a thread may keep the interpreter while another waits: Python's 5 ms are longer than a commit takes."""


def run(path: Path) -> int:
    """The daemon until it is told to stop: 0. Raises ConfigErrors, BoxError.

    On SIGHUP it starts itself anew in the same process when the config is good, and goes on as it is when it is not.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")
    sys.setswitchinterval(SWITCH_S)
    config = config_module.load(path)
    for notice in config_module.missing_extras(config):
        log.warning("%s", notice)
    notify.forget_poweroff()
    lock = take_lock(config.state_dir)
    found = open_journal(config.state_dir) if lock else Found(Journal(None), NO_LOCK)
    if lock is None:
        log.error("the box runs without a disk: its events are in memory alone until there is one")

    def reopen() -> tuple[Found, Signer]:
        nonlocal lock
        lock = lock or take_lock(config.state_dir)
        if lock is None:
            raise BoxError(NO_LOCK, "it is tried again")
        return renewed_journal(config.state_dir), load_or_make_key(config.state_dir)

    loop = Loop(config, found, _signer(config.state_dir), boot_id(), Clock(), reopen)

    def reloadable() -> bool:
        try:
            config_module.load(path)
        except config_module.ConfigErrors as errors:
            log.error("not reloaded, the box goes on as it was:\n%s", errors)
            return False
        return True

    ended = loop.run(config_hash=sha256(path.read_bytes()).hexdigest(), reloadable=reloadable)
    if ended == signal.SIGHUP:
        log.info("reloading %s", path)
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606
    if lock is not None:
        lock.close()
    return 0


def take_lock(state_dir: Path) -> IO[str] | None:
    """Two boxes on one journal would both give out the same boxseq. None where the disk takes no file at all.

    Raises BoxError when another one runs.
    """
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        lock = (state_dir / LOCK).open("w")
        if os.geteuid() == 0:  # perhaps made by root for the daemon, whose state directory this is
            with suppress(OSError):
                os.fchown(lock.fileno(), (owner := state_dir.stat()).st_uid, owner.st_gid)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BoxError(
            f"another callbox runs on {state_dir}", "stop it, or give this box a state_dir of its own"
        ) from None
    except OSError as error:
        log.error("%s: %s; nothing can be written there", state_dir, error.strerror)
        return None
    return lock


def _signer(state_dir: Path) -> Ed25519Signer:
    """The box's key; without a disk one for this run alone: central will see a new key, and an alarm all the same."""
    try:
        return load_or_make_key(state_dir)
    except OSError as error:
        log.error("%s: %s; this run signs with a key of its own", state_dir / KEY_FILE, error.strerror)
        return Ed25519Signer.generate()
    except ValueError as error:
        raise BoxError(str(error), "move the file away: a new key is made at the next start") from error
