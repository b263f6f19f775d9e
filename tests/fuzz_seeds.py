"""What each target of tests/fuzz_targets.py begins with: from a good message a fuzzer finds more than from nothing."""

import base64
import struct
from pathlib import Path

from drivers.dc09_frame import framed

ROOT = Path(__file__).parent.parent

SEEDS: dict[str, tuple[bytes, ...]] = {
    "ad2": (
        b'\x60[00010001001000000A--],008,[f70000008008000008000000000000],"ALARM 08 BACK DOOR"\r\n!boot\r\n!Ready\r\n',
        b"\x09!RFX:0123456,80\r\n!EXP:07,01,01\r\n!REL:12,01,00\r\n!LRR:008,1,CID_1120,ff\r\n!LRR:008,1,ALARM_PANIC\r\n",
    ),
    "camera_words": (
        b'{"files": [{"sha256": "%s", "plain_sha256": "%s", "media_type": "video/mp2t", "bytes": 9, "from_s": 1,'
        b' "to_s": 2, "ends_s": 2, "encrypted": "age"}], "through_s": 3}' % (b"a" * 64, b"b" * 64),
        b'{"read": {"at_s": 1, "ref": "x", "reason": "", "codes": [{"code": "1", "format": "qrcode", "confidence": 1},'
        b' {"document": {"layout": "td3", "type": "P", "issuer": "UTO", "number": "L898902C3", "expires": "2012-04-15",'
        b' "wrong": ["birth"]}}]}}',
    ),
    "clip": (
        b"RIFF\x40\x00\x00\x00AVI LIST\x10\x00\x00\x00movi00dc\x04\x00\x00\x00\xff\xd8\xff\xd9",
        (b"\x47\x40\x00\x10" + b"\xff" * 184) * 2,
    ),
    "command": (
        b'{"id": "1", "type": "callbox.command.close", "expires": "2100-01-01T00:00:00Z", "data": {"alarm": "1"}}',
    ),
    "config": ((ROOT / "config/button.yaml").read_bytes(),),
    "contacts": (bytes.fromhex("fc fd fc fe ff fc 01 00 01 00 01 00 01 00 fc fd"),),
    "dc09": (
        b'"ACK"0001R0L0#1234[]',
        b'"NAK"0000R0L0A0[]_01:52:28,11-22-2026',
        b'"DUH"0009R0L0#1234[]_23:59:59,02-29-2028',
        b"|]_01:52:28,11-22-2026",
        framed(b'"RSP"0009L0#1234[][K00]'),
    ),
    "eol": (bytes.fromhex("00125b 00125b 000897 00 3e 7f ff"),),
    "hid": (
        b"".join(struct.pack("llHHi", 7, 7, 1, key, value) for key in (30, 42, 2, 28) for value in (1, 0)),
        struct.pack("llHHi", 7, 7, 0, 3, 0),
    ),
    "list_command": (
        b'{"add": ["A-1", {"code": "A-2", "expires": "2026-12-31T23:59:59+08:00"}], "remove": ["A-0"]}',
        b'{"version": "2026-11-23", "add": ["A-3"], "count": 3}',
    ),
    "modbus-rtu": (
        bytes.fromhex("01 02 01 01 60 48"),
        bytes.fromhex("01 02 01 01"),
        bytes.fromhex("01 82 02"),
        bytes.fromhex("01 05 00 02 ff 00"),
        bytes.fromhex("00 01 02 00 00 00 08 79 cc"),
    ),
    "modbus-tcp": (
        bytes.fromhex("0001 0000 0007 01 04 04 0001 0002"),
        bytes.fromhex("01 04 04 0001 0002"),
        bytes.fromhex("01 84 02"),
        bytes.fromhex("01 05 00 02 ff 00"),
    ),
    "modem": (
        b'\x09\r\n+CREG: 0,1\r\n\r\nOK\r\n+CEREG: 2,5,"1A2B","01020304",7\r\n',
        b"\x05\r\n> +CMGS: 12\r\n+CMS ERROR: 38\r\n+CME ERROR: 10\r\nRING\r\n",
    ),
    "neighbour": (
        b'{"id": "1", "time": "2026-11-22T01:33:20Z", "timequality": "synced",'
        b' "data": {"transition": "raised", "case": "1", "by": "reset", "test": false}}',
    ),
    "http_auth": (
        b'Digest realm="cam", nonce="1f", qop="auth,auth-int", algorithm=SHA-256-sess, opaque="a"\nBasic realm="x"',
    ),
    "jpeg": (
        base64.b64decode(
            "/9j/4AAQSkZJRgABAQAAAQABAAD/wAALCAAIAAgBAREA/8QAFAABAAAAAAAAAAAAAAAAAAAACf/aAAgBAQAAPwBU/9k="
        ),
    ),
    "line": (b"\x09B2:1\r\nB2:0\r\nS:4006381333931\r", "\x03S:票-7\r".encode("gbk")),
    "mrz": (
        b"P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\nL898902C36UTO7408122F1204159ZE184226B<<<<<10",
        b"I<UTOD231458907<<<<<<<<<<<<<<<\n7408122F1204159UTO<<<<<<<<<<<6\nERIKSSON<<ANNA<MARIA<<<<<<<<<<",
    ),
    "multipart": (
        b"\x20--frame\r\nContent-Length: 4\r\n\r\n\xff\xd8\xff\xd9\r\n--frame\r\n\r\n\xff\xd8\xff\xd9\n--frame",
    ),
    "nal": (
        bytes.fromhex("00000001 6742c00ad90a0f0116a04000 00000001 68cb83cb20 00000001 6588843a".replace(" ", "")),
        bytes.fromhex(
            "000000014001 0c01ffff 000001 4201 0101600000030090 000001 4401c1 000001 2601af".replace(" ", "")
        ),
    ),
    "ranges": (b"[[1, 5], [7, 9]]",),
    "receipt": (
        b'{"journal": "9b1deb4d", "through": 10, "also": [[12, 13]], "batch": 50, "refused": {"14": "no"},'
        b' "media": {"%s": 5}, "put": {"%s": "https://a/b"}}' % (b"a" * 64, b"a" * 64),
    ),
    "gpsd": (b'"lat":46.5,"lon":7.5,"time":"2005-06-08T10:34:48.283Z"', b'{"class":"SKY","hdop":1.24,"uSat":7}\r\n'),
    "nmea": (
        b"\x09$GPRMC,123519,A,4807.038,N,01131.000,E,022.4,084.4,230394,003.1,W*6A\r\n",
        b"GNGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,\nGNZDA,201530.00,04,07,2002,00,00",
    ),
    "nut": (b"OB DISCHRG LB", b'OK\nERR DATA-STALE\nVAR desk ups.status "OL"\n'),
    "scanner": (
        b"\x09]C110AB\x1d217\r\n\x024006381333931\x03",
        b"\x20P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\rL898902C36UTO7408122F1204159ZE184226B<<<<<10\r",
    ),
    "status": (b'{"ask": "status"}\n', b'{"ask": "preview", "camera": "front"}\n'),
    "surgard": (
        b"\x055011 181234E13001003\x145011 181234P12001003\x14",
        b"\x001011           @    \x143011    1234BA0001\x14",
    ),
}
