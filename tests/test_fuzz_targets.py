"""A moment of each fuzz target, the same each time. Hours of it: `make fuzz`."""

import random

import pytest
from fuzz_seeds import SEEDS
from fuzz_targets import TARGETS

RUNS = 150


def wrong(seed: bytes, rng: random.Random) -> bytes:
    """A good message with a few bytes changed, cut out, put in twice, or cut off."""
    data = bytearray(seed)
    for _ in range(rng.randrange(1, 4)):
        at, end = sorted((rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)))
        match rng.randrange(4):
            case 0:
                data[at : at + 1] = rng.randbytes(1)
            case 1:
                del data[at : at + rng.randrange(8)]
            case 2:
                data[at:at] = data[at : min(end, at + 64)]
            case _:
                del data[at + len(data) // 2 :]
    return bytes(data)


@pytest.mark.parametrize("name", TARGETS)
def test_no_bytes_make_a_parser_raise(name: str) -> None:
    rng = random.Random(name)
    for seed in (b"", *SEEDS[name]):
        TARGETS[name](seed)
    for _ in range(RUNS):
        TARGETS[name](rng.randbytes(rng.randrange(200)))
        TARGETS[name](wrong(rng.choice(SEEDS[name]), rng))


def test_each_target_begins_with_something_good() -> None:
    """From nothing a fuzzer gets no further than the first comparison."""
    assert SEEDS.keys() == TARGETS.keys()
