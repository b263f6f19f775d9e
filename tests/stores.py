"""Real servers that take files by PUT, for tests: Debian's nginx with its DAV module, and s3rver, which checks S3's
signatures."""

import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trustme
from real_box import until

from simulators.broker import free_port
from simulators.process import spawn, stop

ROOT = Path(__file__).parent.parent
S3RVER = ROOT / ".cache/s3rver/node_modules/.bin/s3rver"
S3_KEY = "S3RVER"
"""The one key that s3rver knows; its secret is the same."""
BODY_MAX = 1_000_000
NGINX = """\
daemon off;
master_process off;
pid {folder}/pid;
error_log stderr;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {folder}/server.pem;
    ssl_certificate_key {folder}/server.key;
    root {folder}/files;
    client_max_body_size {most};
    location /bucket/ {{ dav_methods PUT; }}
    location /expired/ {{ return 403; }}
    location /moved/ {{ return 307 /bucket/elsewhere; }}
  }}
}}
"""


class Papers:
    """A CA, in `ca`, and a server's certificate for localhost, in `server.pem` and `server.key`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder, ca = folder, trustme.CA()
        self.ca = folder / "ca.pem"
        ca.cert_pem.write_to_path(self.ca)
        cert = ca.issue_cert("localhost")
        cert.cert_chain_pems[0].write_to_path(folder / "server.pem")
        cert.private_key_pem.write_to_path(folder / "server.key")


def _until_open(port: int, log: Path, ca: Path) -> None:
    def answers() -> bool:
        try:
            with socket.create_connection(("127.0.0.1", port), 1) as wire:
                ssl.create_default_context(cafile=ca).wrap_socket(wire, server_hostname="localhost").close()
        except ConnectionRefusedError:
            return False
        return True

    until(answers, f"the store listens; its log is {log}")


@contextmanager
def nginx(papers: Papers) -> Iterator[tuple[str, Path]]:
    """Its address, and the folder of `/bucket/`. `/expired/` refuses, `/moved/` redirects."""
    folder, port = papers.folder, free_port()
    (folder / "files/bucket").mkdir(parents=True)
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port, most=BODY_MAX))
    log = folder / "nginx.log"
    argv = ["/usr/sbin/nginx", "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf")]
    process = spawn(argv, log)
    try:
        _until_open(port, log, papers.ca)
        yield f"https://localhost:{port}/", folder / "files/bucket"
    finally:
        stop(process)


@contextmanager
def s3rver(papers: Papers) -> Iterator[str]:
    """The address of its bucket `evidence`."""
    folder, port = papers.folder, free_port()
    log = folder / "s3rver.log"
    argv = [str(S3RVER), "--directory", str(folder / "s3"), "--address", "localhost", "--port", str(port)]
    argv += ["--cert", str(folder / "server.pem"), "--key", str(folder / "server.key"), "--no-vhost-buckets"]
    process = spawn([*argv, "--configure-bucket", "evidence"], log, {**os.environ, "NODE_ENV": "production"})
    try:
        _until_open(port, log, papers.ca)
        yield f"https://localhost:{port}/evidence/"
    finally:
        stop(process)
