"""Real servers that take files by PUT, for tests, both Debian's: nginx with its DAV module, and OpenStack Swift, which
speaks S3 and checks its signatures, behind nginx."""

import os
import pwd
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import trustme
from real_box import until

from simulators.broker import free_port
from simulators.process import spawn, stop

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
    location /evidence {{
      proxy_pass http://127.0.0.1:{behind};
      proxy_set_header Host $http_host;
      proxy_request_buffering off;
    }}
  }}
}}
"""


SWIFT = """\
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
swift_dir = {folder}
"""
SWIFT_STORE = """\
devices = {folder}/devices
mount_check = false
[pipeline:main]
pipeline = {name}-server
[app:{name}-server]
use = egg:swift#{name}
"""
SWIFT_PROXY = """\
[pipeline:main]
pipeline = cache s3api tempauth proxy-server
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:9
[filter:s3api]
use = egg:swift#s3api
[filter:tempauth]
use = egg:swift#tempauth
user_test_central = secret-of-the-store .admin
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
"""
S3_KEY, S3_SECRET = "test:central", "secret-of-the-store"


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


@contextmanager
def nginx(papers: Papers, behind: int = 9) -> Iterator[tuple[str, Path]]:
    """Its address, and the folder of `/bucket/`. `/expired/` refuses, `/moved/` redirects, `/evidence` is a store's on
    port `behind`."""
    folder, port = papers.folder, free_port()
    (folder / "files/bucket").mkdir(parents=True)
    conf = NGINX.format(folder=folder, port=port, most=BODY_MAX, behind=behind)
    (folder / "nginx.conf").write_text(conf)
    log = folder / "nginx.log"
    argv = ["/usr/sbin/nginx", "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf")]
    process = spawn(argv, log)
    try:
        until(lambda: _open(port), f"nginx listens; its log is {log}")
        yield f"https://localhost:{port}/", folder / "files/bucket"
    finally:
        stop(process)


def _open(port: int) -> bool:
    with closing(socket.socket()) as wire:
        return wire.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def swift(papers: Papers) -> Iterator[str]:
    """The address of its bucket `evidence`, over TLS."""
    folder = papers.folder / "swift"
    (folder / "devices/disk").mkdir(parents=True)
    user = pwd.getpwuid(os.geteuid()).pw_name
    ports = {name: free_port() for name in ("account", "container", "object", "proxy")}
    with ExitStack() as stack:
        for name, port in ports.items():
            conf = folder / f"{name}.conf"
            own = SWIFT_PROXY if name == "proxy" else SWIFT_STORE
            conf.write_text((SWIFT + own).format(name=name, port=port, user=user, folder=folder))
            if name != "proxy":
                ring = ["swift-ring-builder", str(folder / f"{name}.builder")]
                for words in ("create 1 1 1", f"add r1z1-127.0.0.1:{port}/disk 1", "rebalance"):
                    subprocess.run([*ring, *words.split()], check=True, capture_output=True)
            process = spawn([f"/usr/bin/swift-{name}-server", str(conf), "-v"], folder / f"{name}.log")
            stack.callback(stop, process)
        for name, port in ports.items():
            until(lambda port=port: _open(port), f"swift-{name}-server listens; see {folder}")  # type: ignore[misc]
        url, _ = stack.enter_context(nginx(papers, ports["proxy"]))
        yield f"{url}evidence/"
