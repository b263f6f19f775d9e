"""Central as one thing to start and stop, and the command `callbox-sim central`."""

import argparse
import asyncio
import logging
import signal
import socket
import sqlite3
import sys
import threading
from pathlib import Path
from typing import Any

import uvicorn

from agent.text import t
from simulators.central import wire
from simulators.central.bench import Bench
from simulators.central.broker import Broker
from simulators.central.bucket import Bucket
from simulators.central.hub import Bench as BenchNews
from simulators.central.hub import Hub
from simulators.central.looker import Looker, read_identities
from simulators.central.store import Store
from simulators.central.web import Web
from simulators.process import until_stopped

OPERATOR = "duty-desk"


class Central:
    """Stores what boxes send, says so to them, and shows the operator page on loopback.

    broker_url: mqtt://[user:password@]host[:port]. http_port: 0 takes a free one. The keys are Ed25519 PEM files, made
    where they are missing, beside the store by default. identity: an age identity file; without one, encrypted
    evidence is stored and stays locked. bucket: where boxes may put files.
    Raises ValueError, OSError or sqlite3.Error for what cannot be used.
    """

    def __init__(
        self,
        broker_url: str,
        store_path: Path | str,
        http_port: int,
        operator_key: Path | str | None = None,
        central_key: Path | str | None = None,
        bench: Bench | None = None,
        operator: str = OPERATOR,
        identity: Path | str | None = None,
        bucket: Bucket | None = None,
    ) -> None:
        store_path = Path(store_path)
        signer = wire.load_key(Path(operator_key or store_path.with_suffix(".operator.pem")))
        sealer = wire.load_key(Path(central_key or store_path.with_suffix(".central.pem")))
        self.operator_public_key, self.central_public_key = wire.public(signer), wire.public(sealer)
        identities = read_identities(Path(identity)) if identity else []
        self._socket = socket.create_server(("127.0.0.1", http_port))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/"
        self._store = Store(store_path)
        self._broker = Broker(broker_url, self._store.client_id)
        self._hub = Hub(self._store, self._broker, operator, signer, sealer, decrypts=bool(identities), bucket=bucket)
        self._bench, self._looker = bench, Looker(identities)
        self._web = Web(self._hub, bench, self._looker)
        config = uvicorn.Config(self._web.app, log_config=None, access_log=False, timeout_graceful_shutdown=2)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._serve, name="central-web", daemon=True)
        self._up = threading.Event()

    def start(self) -> None:
        """Returns when the page can be opened; the broker is connected to as soon as it is there."""
        self._hub.start()
        if self._bench is not None:
            self._bench.watch(lambda state: self._hub.post(BenchNews(state)))
            self._hub.post(BenchNews(self._bench.state()))
        self._thread.start()
        self._up.wait()
        self._broker.start(self._hub.post)

    @property
    def connected(self) -> bool:
        """It has a session with the broker."""
        return self._broker.connected

    def stop(self) -> None:
        """What has come is stored; the broker keeps the rest for the next start."""
        self._broker.stop()
        self._server.should_exit = True
        self._loop.call_soon_threadsafe(self._web.close)
        self._thread.join()
        self._hub.stop()
        self._store.close()

    def _serve(self) -> None:
        async def main() -> None:
            self._loop = asyncio.get_running_loop()
            self._up.set()
            try:
                await self._server.serve(sockets=[self._socket])
            finally:
                await self._looker.close()

        asyncio.run(main())


def add_command(commands: "argparse._SubParsersAction[Any]") -> None:
    """Registers `central` with `callbox-sim`."""
    parser = commands.add_parser("central", help=t("sim.central.help"), description=t("sim.central.help"))
    parser.add_argument("--broker", required=True, metavar="mqtt://HOST:PORT", help=t("sim.central.broker"))
    parser.add_argument("--store", required=True, type=Path, metavar="FILE.db", help=t("sim.central.store"))
    parser.add_argument("--http", required=True, type=int, metavar="PORT", help=t("sim.central.http"))
    parser.add_argument("--operator-key", type=Path, metavar="FILE", help=t("sim.central.operator_key"))
    parser.add_argument("--central-key", type=Path, metavar="FILE", help=t("sim.central.central_key"))
    parser.add_argument("--operator", default=OPERATOR, metavar="NAME", help=t("sim.central.operator"))
    parser.add_argument("--identity", type=Path, metavar="FILE", help=t("sim.central.identity"))
    parser.add_argument("--put", metavar="https://STORE/BUCKET/", help=t("sim.central.put"))
    parser.add_argument("--put-key", type=Path, metavar="FILE", help=t("sim.central.put_key"))
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Until SIGTERM or Ctrl-C."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        keys = {"operator_key": args.operator_key, "central_key": args.central_key, "identity": args.identity}
        if bool(args.put) != bool(args.put_key):
            raise ValueError("--put and --put-key belong together")
        bucket = Bucket(args.put, args.put_key.read_text()) if args.put else None
        central = Central(args.broker, args.store, args.http, operator=args.operator, bucket=bucket, **keys)
    except (ValueError, OSError, sqlite3.Error) as error:
        print(t("sim.central.cannot", error=error), file=sys.stderr)
        return 1
    done = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: done.set())
    central.start()
    public = {"url": central.url, "operator": central.operator_public_key, "central": central.central_public_key}
    print(t("sim.central.ready", **public), flush=True)
    until_stopped(done)
    central.stop()
    return 0
