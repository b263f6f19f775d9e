"""Foreign errors, mapped once to what their reader needs: what was found, and what to do next."""

import errno
import socket
import sqlite3
from typing import Final


class BoxError(Exception):
    """Something that stops what was asked: `found`, and a `hint` what to do next."""

    def __init__(self, found: str, hint: str) -> None:
        super().__init__(f"{found}; {hint}")
        self.found, self.hint = found, hint


_SQLITE_HINTS: Final = {
    sqlite3.SQLITE_FULL: "the disk is full: free space in state_dir",
    sqlite3.SQLITE_READONLY: "the disk is read-only: check the card and remount it",
    sqlite3.SQLITE_IOERR: "the disk does not read or write: replace the card",
    sqlite3.SQLITE_CANTOPEN: "state_dir cannot be written: check that it exists and belongs to the callbox user",
    sqlite3.SQLITE_NOTADB: "the file is not a journal: a new one takes its place",
    sqlite3.SQLITE_CORRUPT: "the journal is damaged: a new one takes its place",
    sqlite3.SQLITE_BUSY: "another program holds the journal: stop it",
}


def sqlite_error(error: sqlite3.Error) -> BoxError:
    """What SQLite said, with a hint by its primary result code (sqlite.org/rescode.html)."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return BoxError(str(error), _SQLITE_HINTS.get(code, "the journal cannot be used: see the log of the disk"))


def disk_full(error: sqlite3.Error) -> bool:
    """Whether SQLite found no room on the disk; what it was asked was rolled back."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL


# X509 verification results, as OpenSSL numbers them (x509_vfy.h)
_TLS_HINTS: Final = {
    10: ("its certificate has expired", "renew it, or set this box's clock"),
    9: ("its certificate is not valid yet", "set this box's clock"),
    18: (
        "its certificate is signed by itself",
        "`ca` in the config must be the CA that signed the broker's certificate",
    ),
    19: ("its certificate comes from a CA that is not ours", "`ca` in the config must be the broker's CA"),
    20: ("its certificate comes from a CA that is not ours", "`ca` in the config must be the broker's CA"),
    23: ("its certificate was revoked", "somebody may stand in for central: ask central before anything else"),
    62: (
        "its certificate is for another name",
        "the host in `url` must be a name that the broker's certificate carries",
    ),
    64: ("its certificate is for another address", "the host in `url` must be what the broker's certificate carries"),
}

_OS_HINTS: Final = {
    errno.ECONNREFUSED: "nothing listens there: check host and port, and that the broker runs",
    errno.EHOSTUNREACH: "no way there: check cable, modem and routes",
    errno.ENETUNREACH: "no network: check cable, modem and routes",
    errno.ETIMEDOUT: "no answer: check the way there and the firewall",
    errno.ECONNRESET: "the other side hung up: a firewall, or a broker that refuses this box (see its log)",
}


def link_error(error: Exception) -> BoxError:
    """Why a connection to a broker failed, for the person who mends it."""
    import ssl  # comes with the first session, after the inputs: see `Loop._arm`

    if isinstance(error, ssl.SSLCertVerificationError):
        found, hint = _TLS_HINTS.get(
            error.verify_code, (error.verify_message, "check `ca` and the broker's certificate")
        )
        return BoxError(f"the broker was refused: {found} ({error.verify_message.rstrip('.')})", hint)
    if isinstance(error, ssl.SSLError):
        reason = error.reason or str(error)
        if "ALERT" in reason:
            return BoxError(
                f"the broker refused this box in the TLS handshake ({reason})", "check `cert` and `key` in the config"
            )
        return BoxError(f"TLS failed ({reason})", "check that the port speaks TLS, and `ca`, `cert` and `key`")
    if isinstance(error, socket.gaierror):
        return BoxError(
            f"the name was not found ({error.strerror})", "check the host in `url`, and the DNS of this site"
        )
    if isinstance(error, TimeoutError):
        return BoxError("no answer in time", _OS_HINTS[errno.ETIMEDOUT])
    if isinstance(error, OSError) and error.filename:
        return BoxError(
            f"{error.filename}: {error.strerror}",
            "the config names this file: see that it is there and that callbox may read it",
        )
    if isinstance(error, OSError):
        return BoxError(error.strerror or str(error), _OS_HINTS.get(error.errno or 0, "check the way to the broker"))
    return BoxError(f"{type(error).__name__}: {error}", "this should not happen: report it with the log")
