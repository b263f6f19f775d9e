"""What stands in for the upload of frames: `python -m bench.frames HOST PORT PIECE_BYTES`."""

import sys

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion


def main() -> None:
    host, port, piece_bytes = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.connect(host, port)
    client.loop_start()
    piece = bytes(piece_bytes)
    while True:
        client.publish("bench/media", piece, 1).wait_for_publish()
        sys.stdout.write("uploading\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
