"""`callbox`: the command of the box."""

import argparse
import json
import re
import select
import sys
from base64 import b64decode
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from agent.errors import BoxError
from agent.kinds import CLASSES
from agent.ranges import Range, joined
from agent.text import shown, t

DEFAULT_CONFIG: Final = Path("/etc/callbox/box.yaml")
OK, FAILED, BAD_CONFIG, NOT_RUNNING = 0, 1, 2, 3
FOLLOW_S: Final = 0.25


def main(argv: list[str] | None = None) -> int:
    """Runs one command; the exit code is the contract's (section 7)."""
    args = _parser().parse_args(argv)
    # Only what a command needs is imported: a status must not wait for pydantic.
    from agent.config_errors import ConfigErrors

    try:
        code: int = args.run(args)
    except ConfigErrors as errors:
        print(errors, file=sys.stderr)
        return BAD_CONFIG
    except BoxError as error:
        print(f"callbox: {error}", file=sys.stderr)
        return FAILED
    except (BrokenPipeError, KeyboardInterrupt):
        return OK
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="callbox", description=t("cli.about"))
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], int], *, box: bool = False, table: bool = False) -> Any:
        sub = commands.add_parser(name, help=t(f"cli.{name}"), description=t(f"cli.{name}"))
        sub.set_defaults(run=run)
        if box:
            place = sub.add_mutually_exclusive_group()
            place.add_argument("--config", type=Path, metavar="F", help=t("cli.config", default=DEFAULT_CONFIG))
            place.add_argument("--state-dir", type=Path, metavar="DIR", help=t("cli.state_dir"))
        if table:
            sub.add_argument("--json", action="store_true", help=t("cli.json"))
        return sub

    command("run", _run).add_argument("--config", type=Path, metavar="F", default=DEFAULT_CONFIG, help=t("cli.file"))
    command("safe", _safe).add_argument("--config", type=Path, metavar="F", default=DEFAULT_CONFIG, help=t("cli.file"))
    command("check", _check, table=True).add_argument("file", type=Path, metavar="F", help=t("cli.file"))
    demo = command("demo", _demo, table=True)
    demo.add_argument("--once", action="store_true", help=t("cli.demo_once"))
    demo.add_argument("--port", type=int, metavar="N", help=t("cli.port"))
    command("status", _status, box=True, table=True)
    events = command("events", _events, box=True, table=True)
    events.add_argument("--class", dest="cls", choices=CLASSES, help=t("cli.class"))
    events.add_argument("--pending", action="store_true", help=t("cli.pending"))
    events.add_argument("--paths", action="store_true", help=t("cli.paths"))
    more = events.add_mutually_exclusive_group()
    more.add_argument("--follow", action="store_true", help=t("cli.follow"))
    more.add_argument("--parked", action="store_true", help=t("cli.parked"))
    command("verify", _verify, box=True, table=True).add_argument("--key", metavar="K", help=t("cli.key"))
    command("fsck", _fsck, box=True, table=True).add_argument("--repair", action="store_true", help=t("cli.repair"))
    resend = command("resend", _resend, box=True, table=True).add_mutually_exclusive_group(required=True)
    resend.add_argument("--parked", action="store_true", help=t("cli.resend_parked"))
    resend.add_argument("ranges", nargs="*", default=[], type=_range, metavar="RANGE", help=t("cli.resend_ranges"))
    command("keygen", _keygen, box=True)
    preview = command("preview", _preview, box=True)
    preview.add_argument("camera", metavar="CAMERA", help=t("cli.preview_camera"))
    preview.add_argument("--out", type=Path, metavar="FILE.jpg", help=t("cli.preview_out"))
    export = command("export", _export, table=True)
    export.add_argument("case", metavar="CASE", help=t("cli.export_case"))
    for name, metavar in (("events", "FILE"), ("media", "DIR"), ("out", "DIR"), ("identity", "FILE")):
        needed, text = name != "identity", t(f"cli.export_{name}")
        export.add_argument(f"--{name}", type=Path, metavar=metavar, required=needed, help=text)
    export.add_argument("--key", metavar="K", help=t("cli.export_key"))
    return parser


def _state_dir(args: argparse.Namespace) -> Path:
    if args.state_dir is not None:
        return Path(args.state_dir)
    from agent.config import load

    return load(args.config or DEFAULT_CONFIG).state_dir


def _range(text: str) -> Range:
    """`1042` or `1000-1010`: boxseqs, the first and the last included."""
    if match := re.fullmatch(r"([1-9]\d{0,14})(?:-([1-9]\d{0,14}))?", text, re.ASCII):
        first, last = int(match[1]), int(match[2] or match[1])
        if first <= last:
            return first, last
    raise argparse.ArgumentTypeError(t("cli.no_range", text=text))


def _run(args: argparse.Namespace) -> int:
    from agent.main import run

    return run(args.config)


def _safe(args: argparse.Namespace) -> int:
    from agent.config import load
    from agent.main import take_lock
    from agent.wires import make_safe

    config = load(args.config)
    with take_lock(config.state_dir) or nullcontext():  # without a disk there is no lock, and outputs all the same
        problems = make_safe(config)
    for problem in problems:
        print(f"callbox: {problem}", file=sys.stderr)
    if not problems:
        print(t("cli.safe_done", count=len(config.outputs)))
    return FAILED if problems else OK


def _check(args: argparse.Namespace) -> int:
    from agent import config as door

    try:
        config = door.load(args.file)
        missing = door.missing_files(config)
        if missing:
            raise door.ConfigErrors(missing)
    except door.ConfigErrors as errors:
        if args.json:
            print(json.dumps({"errors": [asdict(error) for error in errors.errors]}, ensure_ascii=False))
        else:
            print(errors)
            print(t("cli.config_bad", file=args.file, count=len(errors.errors)))
        return BAD_CONFIG
    notices = door.notices(config)
    if args.json:
        print(json.dumps({"errors": [], "notices": notices}, ensure_ascii=False))
        return OK
    for notice in notices:
        print(t("cli.notice", text=notice))
    counts = {name: len(getattr(config, name)) for name in ("inputs", "outputs", "cameras", "links")}
    print(t("cli.config_good", file=args.file, **counts))
    return OK


def _demo(args: argparse.Namespace) -> int:
    try:
        from simulators import demo
    except ModuleNotFoundError:
        print(t("cli.no_simulators"), file=sys.stderr)
        return FAILED
    return demo.main(once=args.once, http_port=args.port, as_json=args.json)


def _status(args: argparse.Namespace) -> int:
    from agent.status import ask
    from agent.status_table import status_table

    state_dir = _state_dir(args)
    status = ask(state_dir)
    if status is None or not status["armed"]:
        print("{}" if args.json else t("cli.not_running", state_dir=state_dir))
        return NOT_RUNNING
    print(json.dumps(status, ensure_ascii=False) if args.json else status_table(status))
    return FAILED if status["trouble"] else OK


def _events(args: argparse.Namespace) -> int:
    from agent.reader import Reader

    reader = Reader(_state_dir(args))
    reasons = reader.parked() if args.parked else {}
    after = 0
    while True:
        for seq, body in reader.events(after=after, cls=args.cls, pending=args.pending, parked=args.parked):
            after = seq
            if args.json and args.paths:  # its bytes stay what they are
                ways = json.dumps(_ways(reader, seq), ensure_ascii=False).encode()
                sys.stdout.buffer.write(b'{"paths":%b,"event":%b}\n' % (ways, body))
            elif args.json:
                sys.stdout.buffer.write(body + b"\n")
            elif args.parked:
                print(_event_line(seq, body), t("cli.parked_for", reason=shown(reasons.get(seq, ""))), sep="\n")
            else:
                print(_event_line(seq, body))
            if args.paths and not args.json:
                for way in _ways(reader, seq):
                    print(t("cli.way_of_event", **{**way, "state": t(f"cli.report_{way['state']}")}).rstrip())
        sys.stdout.flush()
        if not args.follow:
            return OK
        select.select([], [], [], FOLLOW_S)


def _ways(reader: Any, seq: int) -> list[dict[str, str]]:
    """By which ways an event went: `mqtt`, and those that the config has besides."""
    central = {"path": "mqtt", "state": "delivered" if reader.at_central(seq) else "owed", "time": "", "reason": ""}
    keys = ("path", "state", "time", "reason")
    return [central, *(dict(zip(keys, row, strict=True)) for row in reader.reports(seq))]


def _event_line(seq: int, body: bytes) -> str:
    try:
        event = json.loads(body)
        data = {name: value for name, value in event["data"].items() if name not in ("monotonic_s", "cid")}
        values = " ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in data.items())
        type = event["type"].removeprefix("callbox.")
        return shown(f"{seq:>8}  {event['time']}  {type:<20} {event['subject']:<12} {values}")
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{seq:>8}  {t('cli.unreadable', bytes=len(body))}"


def _public_key(state_dir: Path, given: str | None = None) -> bytes:
    from agent.identity import public_key, unb64

    try:
        return unb64(given, 32) if given else public_key(state_dir)
    except (ValueError, OSError) as error:
        raise BoxError(
            f"the key: {error}", "box.key in state_dir is wanted, or the public key: verify --key"
        ) from error


def _verify(args: argparse.Namespace) -> int:
    from agent.reader import Reader

    state_dir = _state_dir(args)
    key = _public_key(state_dir, args.key)
    reader = Reader(state_dir)
    check = reader.checked(key)
    problem, gone = check.problem, sum(last - first + 1 for first, last, _ in check.holes)
    counts = {"events": check.events, "last": check.seq, "holes": len(check.holes), "gone": gone}
    if args.json:
        print(json.dumps({"journal": reader.name, "problem": problem, **counts}))
    elif problem:
        print(t("cli.broken", problem=problem))
    elif check.events:
        print(t("cli.whole", journal=reader.name, **counts))
        if gone:
            print(t("cli.holes", **counts))
    else:
        print(t("cli.empty", journal=reader.name))
    return FAILED if problem else OK


def _fsck(args: argparse.Namespace) -> int:
    from agent.fsck import Fsck

    state_dir = _state_dir(args)
    key = _public_key(state_dir)
    with ExitStack() as held:
        if args.repair:
            from agent.main import NO_LOCK, take_lock

            if (lock := take_lock(state_dir)) is None:
                raise BoxError(NO_LOCK, "nothing was mended")
            held.enter_context(lock)
        fsck = Fsck(state_dir, key)
        if args.repair:
            fsck.repair()
    faults, counts = fsck.faults, {"events": fsck.check.events, "holes": len(fsck.check.holes)}
    whole = all(fault.mended == fault.count for fault in faults)
    if args.json:
        told = [{**asdict(fault), "what": fault.what, "next": fault.next} for fault in faults]
        print(json.dumps({"journal": fsck.name, **counts, "faults": told}, ensure_ascii=False))
    else:
        for fault in faults:
            print(f"{fault.rule:>2}  {fault.what}\n    {fault.next}")
        end = "cli.fsck_broken" if not whole else "cli.fsck_mended" if faults else "cli.fsck_clean"
        print(t(end, journal=fsck.name, count=len(faults), **counts))
    return OK if whole else FAILED


def _resend(args: argparse.Namespace) -> int:
    from agent.reader import Reader
    from agent.status import ask

    state_dir = _state_dir(args)
    reader = Reader(state_dir)
    ranges = joined((seq, seq) for seq in reader.parked()) if args.parked else joined(args.ranges)
    answer: dict[str, Any] | None = {"result": "done", "ranges": []}
    if ranges:
        answer = ask(state_dir, "resend", journal=reader.name, ranges=ranges)
    if answer is None:
        print("{}" if args.json else t("cli.not_running", state_dir=state_dir))
        return NOT_RUNNING
    if "result" not in answer:
        raise BoxError("the running box does not know this command", "it is older than this one: restart it")
    shown = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in answer.get("ranges", []))
    if args.json:
        print(json.dumps(answer, ensure_ascii=False))
    elif answer["result"] == "refused":
        print(t("cli.resend_refused", reason=answer["reason"]))
    else:
        print(t("cli.resend_done", ranges=shown) if shown else t("cli.resend_nothing"))
    return OK if answer["result"] == "done" else FAILED


def _preview(args: argparse.Namespace) -> int:
    from agent.status import ask

    state_dir, camera = _state_dir(args), args.camera
    if (answer := ask(state_dir, "preview", camera=camera)) is None:
        print(t("cli.not_running", state_dir=state_dir))
        return NOT_RUNNING
    if not answer.get("jpeg"):
        told = {"cameras": ", ".join(answer.get("cameras", [])) or t("cli.none"), "reason": answer.get("reason")}
        print(t("cli.preview_no_camera" if "cameras" in answer else "cli.preview_failed", camera=camera, **told))
        return FAILED
    try:
        (file := args.out or Path(f"{camera}.jpg")).write_bytes(b64decode(answer["jpeg"]))
    except OSError as error:
        raise BoxError(f"{error.filename}: {error.strerror}", "name another file: --out FILE.jpg") from error
    print(t("cli.preview_done", camera=camera, file=file))
    return OK


def _keygen(args: argparse.Namespace) -> int:
    from agent.identity import b64, load_or_make_key

    try:
        print(b64(load_or_make_key(_state_dir(args)).public))
    except (OSError, ValueError) as error:
        raise BoxError(f"the box's key: {error}", "check the state directory and whom it belongs to") from error
    return OK


def _export(args: argparse.Namespace) -> int:
    from agent.export_page import problems
    from agent.identity import unb64

    try:
        from agent.export import export
    except ModuleNotFoundError as error:
        raise BoxError(f"{error.name} is not installed", "pip install 'callbox[export]'") from error
    try:
        key = unb64(args.key, 32) if args.key else None
    except ValueError as error:
        raise BoxError(f"--key: {error}", "callbox keygen prints the box's public key") from error
    manifest = export(args.case, args.events, args.media, args.out, identity=args.identity, key=key)
    wrong = problems(manifest)
    if args.json:
        print(json.dumps(manifest, ensure_ascii=False))
    else:
        for where, fault in wrong:
            text = t(f"export.fault_{fault['code']}", **fault["values"])
            print(t("export.fault", where=where, text=text))
        counts = {"events": manifest["events"]["count"], "files": len(manifest["files"]), "count": len(wrong)}
        end = "cli.export_bad" if wrong else "cli.export_good"
        print(t(end, out=args.out, case=manifest["case"], **counts))
    return FAILED if wrong else OK


if __name__ == "__main__":
    sys.exit(main())
