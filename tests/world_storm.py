"""What happens in the simulated world: a storm, then peace in which every promise falls due."""

from collections.abc import Callable
from typing import Final

from world import World
from world_ledger import BUTTONS
from world_ways import SPARE
from world_wire import ViolationError

STORM_S: Final = 240.0
CALM_S: Final = 60.0
"""After the storm the wire goes on failing, and the box stays up: what it forgets then, no restart brings back."""
HEAL_S: Final = 700.0
"""Within this after all is well everything is at central: a backoff of 300 s, and what was on its way before it."""
TRICKS: Final = ("forged", "unknown", "elsewhere", "expired", "not allowed", "retained")


def live(world: World) -> None:
    """One seed: a storm, then healing."""
    storm(world)
    heal(world)


def storm(world: World) -> None:
    """Everything goes wrong, at random."""
    rng = world.rng
    world.broker.only_311 = rng.random() < 0.2
    world.broker.limits = rng.choice(((None, None), (None, None), (20, 4_000), (2, None)))
    world.central.batch = rng.choice((None, 3, 50))
    for every_s, call in (
        (6, _press),
        (8, _scan),
        (25, _command),
        (50, _end),
        (40, _line),
        (70, _half_open),
        (120, world.broker.crash),
        (90, _central),
        (120, _clock),
        (150, _slow_disk),
        (400, _broken_disk),
        (150, _refusals),
        (60, world.broker.cut_media),
        (60, _way),
    ):
        _again(world, every_s, call)
    world.boot()
    world.run(STORM_S)
    world.cuts = False
    world.disk.cut_at = world.disk.cut_on = None
    world.run(CALM_S)


def _again(world: World, every_s: float, call: Callable[..., None]) -> None:
    """Now and then, as long as the storm lasts."""

    def now() -> None:
        if world.stormy:
            world.later(world.rng.expovariate(1 / every_s), now)
            call(*(() if getattr(call, "__self__", None) else (world,)))

    world.later(world.rng.expovariate(1 / every_s), now)


def _press(world: World) -> None:
    name, rng = world.rng.choice((*BUTTONS, "key")), world.rng
    if name in ("alarm-1", "counter") and rng.random() < 0.1:
        world.seen["bursts of presses"] += 1
        for n in range(15):
            world.later(n * 0.3, world.press, name, 0.1)
    else:
        world.press(name, rng.choice((0.15, rng.uniform(0.12, 2), rng.uniform(0.12, 40))))


def _scan(world: World) -> None:
    poison = world.rng.random() < 0.05
    size = 3_000 if world.rng.random() < 0.1 else 8
    for _ in range(world.rng.choice((1, 1, 6))):
        world.scan(f"{'poison' if poison else 'code'}-{world.rng.getrandbits(64):0{size}x}")


def _command(world: World) -> None:
    rng, journal = world.rng, world.checker.journal
    cases = [event["data"]["case"] for event in world.central.rows.values() if "case" in event["data"]]
    trick = rng.choice(TRICKS) if rng.random() < 0.3 else ""
    match rng.choice(("acknowledge", "close", "close", "resend", "test", "capture", "bulletin")):
        case "acknowledge" | "close" as verb if cases:
            world.command(verb, {"alarm": rng.choice(cases[-6:]), "note": "seen"}, trick)
        case "resend":
            first = rng.randint(1, 60)
            world.command("resend", {"journal": journal, "ranges": [[first, first + rng.randint(0, 30)]]}, trick)
        case "test":
            world.command("test", {"what": "loop"}, trick)
        case "capture":
            world.command("capture", {"camera": rng.choice(("gate", "hall")), "after_s": rng.choice((0, 5))}, trick)
        case _:
            world.command("bulletin", {"text": "not in this version"}, "not done here")


def _end(world: World) -> None:
    if world.cuts:
        world.rng.choice((world.cut_power, world.cut_power, world.kill, world.stop))()


def _line(world: World) -> None:
    world.broker.cut_line("the line is cut")
    if world.rng.random() < 0.5:
        world.broker.line = False
        world.later(world.rng.uniform(1, 60), setattr, world.broker, "line", True)


def _half_open(world: World) -> None:
    world.broker.open_half()
    world.later(world.rng.uniform(2, 60), setattr, world.broker, "half_open", False)


def _central(world: World) -> None:
    what = world.rng.choice(("down", "mute"))
    setattr(world.central, what, True)
    world.later(world.rng.uniform(5, 60), setattr, world.central, what, False)


def _clock(world: World) -> None:
    world.seen["steps of the wall clock"] += 1
    world.wall_step_s = world.rng.choice((0.0, world.rng.uniform(-30, 30), world.rng.uniform(-1e6, 1e6)))


def _slow_disk(world: World) -> None:
    world.slow_disk = True
    world.later(world.rng.uniform(1, 15), setattr, world, "slow_disk", False)


def _broken_disk(world: World) -> None:
    if world.cuts:
        world.seen["disks that failed"] += 1
        world.disk.failing = world.rng.choice(("", "COMMIT", "COMMIT"))


def _refusals(world: World) -> None:
    world.broker.refusing = True
    world.later(world.rng.uniform(1, 30), setattr, world.broker, "refusing", False)


def _way(world: World) -> None:
    way = world.rng.choice((*SPARE,))
    world.ways.failing.add(way)
    world.later(world.rng.uniform(5, 90), world.ways.failing.discard, way)


def heal(world: World) -> None:
    """Everything works from now on: what was recorded is at central, exactly once, and the lamps are right."""
    world.stormy = False
    world.note("healed")
    broker, central = world.broker, world.central
    broker.line, broker.half_open, broker.refusing, broker.limits = True, False, False, (20, None)
    world.ways.failing.clear()
    central.down = central.mute = world.slow_disk = False
    world.wall_step_s = 0.0
    world.run(10.0)
    if world.volatile:  # a new card is put in
        world.cut_power()
    began_s = world.t
    if not world.run(HEAL_S, lambda: world.quiet):
        raise ViolationError(f"{HEAL_S} s after all was well the box still owes {world.owes()}")
    world.healed_s = world.t - began_s
    if wrong := {name: phase for name, phase in world.phases().items() if phase not in _right(world, name)}:
        raise ViolationError(f"everything is at central, and the lamps say {wrong}")
    for _ in range(3):  # a command that arrived in the instant of a cut is the operator's to repeat
        for name in world.phases():
            world.command("close", {"alarm": name, "note": "over"})
        if world.run(20, lambda: world.quiet and not world.phases() and not any(world.lamps.values())):
            break
    else:
        raise ViolationError(f"closed, and still open: {world.phases()}; lamps {world.lamps}")
    _all_at_central(world)
    world.checker.evidence_whole(central, world.seen)
    world.ledger.lives[world.life] = (world.t, False)
    every = {event["id"]: event for event in (*central.rows.values(), *world.checker.events)}
    world.ledger.check(every.values(), world.checker.commands_done(), world.seen)


def _right(world: World, case: str) -> tuple[str, ...]:
    """What a lamp may say of an open case when nothing is owed; a press that central refused is not received."""
    refused = world.checker.on_disk.open[case]["last_seq"] in world.checker.parked()
    return ("recorded", "waiting", "acknowledged") if refused else ("received", "acknowledged")


def _all_at_central(world: World) -> None:
    checker, central = world.checker, world.central
    parked = checker.parked()
    for seq, body in enumerate(checker.bodies, 1):
        if seq not in parked and central.stored[checker.journal].get(seq) != body:
            raise ViolationError(f"boxseq {seq} is not at central")
    for name, bodies in central.stored.items():
        checker.whole(name, bodies)
    world.seen["events"] += len(checker.bodies)
    world.seen["events parked"] += len(parked)


def three_presses(world: World, cut_at: int) -> None:
    """A calm day with three presses; the power is cut at one statement, and comes back."""
    world.stormy = world.cuts = False
    world.first_cut = cut_at
    world.boot()
    for at_s, name in ((1.0, "fire-1"), (1.2, "counter"), (3.0, "fire-1")):
        world.later(at_s, world.press, name, 0.3)
    world.run(6.0)
    heal(world)


def one_press_with_pictures(world: World, cut_at: int) -> None:
    """The same with one press that two cameras see."""
    world.stormy = world.cuts = False
    world.first_cut = cut_at
    world.boot()
    world.later(1.0, world.press, "alarm-1", 0.3)
    world.run(9.0)
    heal(world)
