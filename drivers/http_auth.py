"""HTTP authentication of a client: Basic (RFC 7617) and Digest (RFC 7616 and the older RFC 2617). Knows no socket."""

import base64
import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.request import parse_http_list, parse_keqv_list

HASHES: Final[dict[str, Callable[[bytes], Any]]] = {
    "MD5": lambda data: hashlib.md5(data, usedforsecurity=False),  # what most cameras know, and nothing better
    "SHA-256": hashlib.sha256,
}


def authorization(
    challenges: Sequence[str], user: str, password: str, method: str, uri: str, cnonce: str
) -> str | None:
    """The header Authorization that answers the headers WWW-Authenticate of a 401; None: to none of them.

    Digest goes before Basic, and SHA-256 before MD5. uri: path and query. cnonce: chosen anew for each request.
    """
    answers: dict[int, str] = {}
    for challenge in challenges:
        scheme, _, rest = challenge.strip().partition(" ")
        if scheme.lower() == "basic":
            answers[0] = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")
        elif scheme.lower() == "digest" and (digest := _digest(rest, user, password, method, uri, cnonce)):
            answers[2 if "SHA-256" in digest else 1] = digest
    return answers[max(answers)] if answers else None


def _digest(rest: str, user: str, password: str, method: str, uri: str, cnonce: str) -> str | None:
    asked = {name.lower(): value for name, value in _fields(rest).items()}
    algorithm = asked.get("algorithm", "MD5").upper()
    hashed = HASHES.get(algorithm.removesuffix("-SESS"))
    qops = [qop.strip() for qop in asked.get("qop", "").split(",")]
    if hashed is None or "nonce" not in asked or not ("auth" in qops or qops == [""]):
        return None

    def digest(*parts: str) -> str:
        return str(hashed(":".join(parts).encode()).hexdigest())

    realm, nonce = asked.get("realm", ""), asked["nonce"]
    secret = digest(user, realm, password)
    if algorithm.endswith("-SESS"):
        secret = digest(secret, nonce, cnonce)
    if "auth" in qops:
        response = digest(secret, nonce, "00000001", cnonce, "auth", digest(method, uri))
        extra = f', qop=auth, nc=00000001, cnonce="{cnonce}"'
    else:
        response, extra = digest(secret, nonce, digest(method, uri)), ""
    if "algorithm" in asked:
        extra += f", algorithm={asked['algorithm']}"
    if "opaque" in asked:
        extra += f', opaque="{asked["opaque"]}"'
    return f'Digest username="{user}", realm="{realm}", nonce="{nonce}", uri="{uri}", response="{response}"{extra}'


def _fields(rest: str) -> dict[str, str]:
    """What has no value is passed over: `parse_keqv_list` raises IndexError at `algorithm=`."""
    return parse_keqv_list([item for item in parse_http_list(rest) if item.partition("=")[2]])
