"""mqtts between a real box and a real mosquitto that demands client certificates: who is let in, and what is said."""

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from real_box import RealBox, until

from simulators.broker import Broker, free_port

pytestmark = pytest.mark.real


@dataclass
class Papers:
    """A CA, and the files that the broker and the box have of it or of another one."""

    directory: Path
    ca: trustme.CA

    def file(self, name: str, *blobs: trustme.Blob) -> Path:
        path = self.directory / name
        path.write_bytes(b"".join(blob.bytes() for blob in blobs))
        return path

    def leaf(self, name: str, cert: trustme.LeafCert) -> tuple[Path, Path]:
        """(certificate, key) as files."""
        return self.file(f"{name}.pem", *cert.cert_chain_pems), self.file(f"{name}.key", cert.private_key_pem)


@pytest.fixture
def papers(tmp_path: Path) -> Papers:
    return Papers(tmp_path, trustme.CA(organization_name="Callbox test"))


def make_box(papers: Papers, server: trustme.LeafCert | None = None, **link: Path | None) -> RealBox:
    """A box with a link to a broker whose certificate is `server`; `link` changes keys of the link, None takes out."""
    certfile, keyfile = papers.leaf("server", server or papers.ca.issue_cert("localhost"))
    ca = papers.file("ca.pem", papers.ca.cert_pem)
    client, client_key = papers.leaf("box", papers.ca.issue_cert(common_name="test/box-1"))
    port = free_port()  # the broker's own one is without TLS, for central
    lines = [f"listener {port} 127.0.0.1", f"cafile {ca}", f"certfile {certfile}", f"keyfile {keyfile}"]
    broker = Broker(directory=papers.directory / "broker", config=[*lines, "require_certificate true"])
    keys: dict[str, Path | None] = {"ca": ca, "cert": client, "key": client_key, **link}
    entry = {name: str(path) for name, path in keys.items() if path is not None}
    return RealBox(papers.directory, broker=broker, links=[{"url": f"mqtts://localhost:{port}", **entry}])


def test_a_press_reaches_central_through_mqtts_with_client_certificates(papers: Papers) -> None:
    with make_box(papers) as box:
        box.broker.start()
        box.start_central()
        box.power_on()
        box.armed()
        box.press_until_lit()
        assert box.at_central("alarm.panic")["data"]["count"] == 1
        box.owes_nothing()
        assert box.status()["link"]["url"].startswith("mqtts://")
        assert box.stop() == 0
        box.at_central("status.stopping")


def foreign_ca(papers: Papers) -> RealBox:
    return make_box(papers, ca=papers.file("foreign.pem", trustme.CA().cert_pem))


def wrong_name(papers: Papers) -> RealBox:
    return make_box(papers, papers.ca.issue_cert("other.example"))


def expired(papers: Papers) -> RealBox:
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    return make_box(papers, papers.ca.issue_cert("localhost", not_before=now - 2 * day, not_after=now - day))


def no_client_certificate(papers: Papers) -> RealBox:
    return make_box(papers, cert=None, key=None)


def foreign_client_certificate(papers: Papers) -> RealBox:
    cert, key = papers.leaf("stranger", trustme.CA().issue_cert(common_name="test/box-1"))
    return make_box(papers, cert=cert, key=key)


def expired_client_certificate(papers: Papers) -> RealBox:
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    old = papers.ca.issue_cert(common_name="test/box-1", not_before=now - 2 * day, not_after=now - day)
    cert, key = papers.leaf("old", old)
    return make_box(papers, cert=cert, key=key)


def no_tls_there(papers: Papers) -> RealBox:
    box = make_box(papers)
    box.config["links"][0]["url"] = f"mqtts://localhost:{box.broker.port}"
    box.write_config()
    return box


@pytest.mark.parametrize(
    ("make", "found", "hint"),
    [
        (foreign_ca, "comes from a CA that is not ours", "`ca` in the config"),
        (wrong_name, "is for another name", "host in `url`"),
        (expired, "has expired", "set this box's clock"),
        (no_client_certificate, "the broker refused this box in the TLS handshake", "`cert` and `key`"),
        (foreign_client_certificate, "the broker refused this box in the TLS handshake", "`cert` and `key`"),
        (expired_client_certificate, "the broker refused this box in the TLS handshake", "`cert` and `key`"),
        (no_tls_there, "Connection reset by peer", "the other side hung up"),
    ],
)
def test_who_is_refused_is_said_with_the_reason_and_what_to_do(
    papers: Papers, make: Callable[[Papers], RealBox], found: str, hint: str
) -> None:
    with make(papers) as box:
        box.broker.start()
        box.power_on()
        box.armed()
        line = box.logged("link lost")
        assert found in line and hint in line, line
        assert until(lambda: found in box.status()["link"]["reason"], "the status says so too")
        box.press_until_lit()  # armed and recording all the same
        assert box.status()["pending"]["alarm"] == 1
