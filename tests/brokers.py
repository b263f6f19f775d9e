"""Brokers of other makers with the face of `Broker`: RabbitMQ with its MQTT plugin, NATS with JetStream.

Each runs as a process of our own in its directory, on loopback; no service of the system is started or asked. As
mosquitto does here, both refuse the topic REFUSED to everybody.
"""

import json
import os
import subprocess
from pathlib import Path
from shutil import which

from simulators.broker import CONNECT_3_1_1, Broker, BrokerError, free_port
from simulators.process import spawn, stop

REFUSED = "elsewhere"
RABBITMQ = "/usr/lib/rabbitmq/bin/rabbitmq-server"
"""Not the one on the PATH, which changes to the user `rabbitmq` and its directories."""
NATS_CONF = """\
server_name: callbox
listen: 127.0.0.1:{port}
jetstream {{ store_dir: "{directory}/jetstream" }}
mqtt {{ listen: 127.0.0.1:{mqtt_port} }}
authorization {{ users [ {{ user: any, password: any, permissions: {{ publish: {{ deny: ["{refused}"] }} }} }} ] }}
no_auth_user: any
"""
RABBITMQ_CONF = """\
listeners.tcp = none
mqtt.listeners.tcp.1 = 127.0.0.1:{port}
mqtt.allow_anonymous = true
mqtt.default_user = guest
mqtt.default_pass = guest
load_definitions = {directory}/definitions.json
log.console = true
log.file = false
"""
RABBITMQ_DEFINITIONS = {
    "vhosts": [{"name": "/"}],
    "users": [{"name": "guest", "password": "guest", "tags": ""}],
    "permissions": [{"user": "guest", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}],
    "topic_permissions": [
        {"user": "guest", "vhost": "/", "exchange": "amq.topic", "write": f"^(?!{REFUSED}$)", "read": ".*"}
    ],
}


def mosquitto(directory: Path) -> Broker:
    """As config/mosquitto/ has it: it keeps on the disk what it is to remember."""
    acl = directory.parent / "acl"
    acl.write_text("topic readwrite callbox/#\n")
    return Broker(directory=directory, embedded=False, persistence=True, config=[f"acl_file {acl}"])


def rumqttd(directory: Path) -> Broker:
    return Broker(directory=directory, embedded=True)


class Nats(Broker):
    """Sessions, retained messages and what waits for a client are in JetStream's files."""

    connect = CONNECT_3_1_1

    def __init__(self, directory: Path) -> None:
        super().__init__(directory=directory)
        self.program = which("nats-server") or which("nats-server", path="/usr/sbin:/usr/local/sbin")
        if self.program is None:
            raise BrokerError("nats-server is not installed: apt install nats-server")
        self._own_port = free_port()

    def _argv(self) -> list[str]:
        config = self.directory / "nats.conf"
        config.write_text(
            NATS_CONF.format(port=self._own_port, mqtt_port=self.port, directory=self.directory, refused=REFUSED)
        )
        return [str(self.program), "-c", str(config)]


class RabbitMQ(Broker):
    """With epmd, the name server that Erlang demands, as a child of its own: else one stays behind as a daemon.

    There is no `rabbitmqctl` in it: the plugin is switched on by a file, and SIGTERM is a clean stop.
    """

    connect = CONNECT_3_1_1
    ready_s = 60.0

    def __init__(self, directory: Path) -> None:
        super().__init__(directory=directory)
        if not Path(RABBITMQ).exists():
            raise BrokerError("RabbitMQ is not installed: apt install rabbitmq-server")
        self.program = RABBITMQ
        self._epmd: subprocess.Popen[bytes] | None = None
        self.environment = os.environ | {
            "HOME": str(directory),  # Erlang's cookie
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(free_port()),
            "RABBITMQ_ALLOW_INPUT": "1",  # the script becomes Erlang instead of waiting for it
            "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(directory / "none"),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "enabled_plugins"),
            "RABBITMQ_LOG_BASE": str(directory / "log"),
            "RABBITMQ_MNESIA_BASE": str(directory / "mnesia"),
            "RABBITMQ_NODENAME": "callbox@localhost",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        }

    def start(self) -> None:
        if self.pid:
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        self._epmd = spawn(["epmd"], self.log, self.environment)
        super().start()

    def stop(self) -> None:
        super().stop()
        self._stop_epmd()

    def kill(self) -> None:
        super().kill()
        self._stop_epmd()

    def _stop_epmd(self) -> None:
        if self._epmd:
            stop(self._epmd)
            self._epmd = None

    def _argv(self) -> list[str]:
        (self.directory / "enabled_plugins").write_text("[rabbitmq_mqtt].\n")
        (self.directory / "definitions.json").write_text(json.dumps(RABBITMQ_DEFINITIONS))
        (self.directory / "rabbitmq.conf").write_text(RABBITMQ_CONF.format(port=self.port, directory=self.directory))
        return [RABBITMQ, "-noinput"]
