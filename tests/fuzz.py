"""Coverage-guided fuzzing of what reads a stranger's bytes: python tests/fuzz.py TARGET|all SECONDS, or `make fuzz`.

Each target of tests/fuzz_targets.py runs in a process of its own under libFuzzer (atheris). What it has found worth
keeping lies in .cache/fuzz/TARGET and is where the next run goes on; bytes that made it raise, hang or grow lie beside
it as crash-*, slow-* and oom-*. Afterwards all of it is run again and again, for memory that does not come back.
"""

import contextlib
import os
import re
import subprocess
import sys
import time
from itertools import cycle
from pathlib import Path

CACHE = Path(__file__).parent.parent / ".cache/fuzz"
INPUT_BYTES_MAX = 8192
INPUT_S_MAX = 5
RSS_MB_MAX = 1024
GROW_S = 6.0
GROWTH_MB_MAX = 2.0


def rss_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def fuzz(name: str, seconds: int) -> None:
    """In the child. Ends the process: 0 when nothing was found."""
    import atheris

    atheris.enabled_hooks.add("str")  # it sees what a comparison wants; its hook for patterns breaks some of them
    with atheris.instrument_imports(include=["agent", "drivers"]):
        from fuzz_seeds import SEEDS
        from fuzz_targets import TARGETS
    kept = CACHE / name
    kept.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(SEEDS[name]):
        (kept / f"seed-{number}").write_bytes(seed)
    limits = f"-max_total_time={seconds} -max_len={INPUT_BYTES_MAX} -timeout={INPUT_S_MAX} -rss_limit_mb={RSS_MB_MAX}"
    atheris.Setup([sys.argv[0], *limits.split(), f"-artifact_prefix={CACHE}/{name}-", str(kept)], TARGETS[name])
    atheris.Fuzz()


def grow(name: str) -> None:
    """In the child. Prints by how many MB the process grew while it ran all that is kept, after the first third."""
    from fuzz_targets import TARGETS

    inputs = [path.read_bytes() for path in sorted((CACHE / name).iterdir())]
    began_s, first_mb = time.monotonic(), 0.0
    for data in cycle(inputs):
        TARGETS[name](data)
        passed_s = time.monotonic() - began_s
        if not first_mb and passed_s > GROW_S / 3:
            first_mb = rss_mb()
        if passed_s > GROW_S:
            break
    print(f"{rss_mb() - first_mb:.2f}")


def child(what: str, name: str, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, __file__, what, name, *more], capture_output=True, text=True, check=False)


def run(name: str, seconds: str) -> bool:
    """One target; prints a line, and all that libFuzzer said when something was found."""
    done = child("--fuzz", name, seconds)
    runs = re.findall(r"^Done (\d+) runs", done.stderr, re.MULTILINE)
    covered = re.findall(r"cov: (\d+)", done.stderr)
    if done.returncode or not runs:
        print(f"{name:14} STOPPED\n{done.stdout}{done.stderr[-6000:]}")
        return False
    grown = child("--grow", name)
    with contextlib.suppress(ValueError):
        grown_mb = float(grown.stdout)
        kept = len([*(CACHE / name).iterdir()])
        print(f"{name:14} {runs[0]:>9} runs, {kept:>5} inputs kept, {covered[-1]:>5} edges, grew by {grown_mb:.2f} MB")
        return grown_mb <= GROWTH_MB_MAX
    print(f"{name:14} STOPPED when all was run again\n{grown.stdout}{grown.stderr[-6000:]}")
    return False


def main() -> int:
    match sys.argv[1:]:
        case ["--fuzz", name, seconds]:
            fuzz(name, int(seconds))
        case ["--grow", name]:
            grow(name)
        case [target, seconds] if seconds.isdigit():
            from fuzz_targets import TARGETS

            names = list(TARGETS) if target == "all" else [target]
            if unknown := set(names) - TARGETS.keys():
                print(f"no target {', '.join(unknown)}; there are: {', '.join(TARGETS)}")
                return 2
            return int(sum(not run(name, seconds) for name in names) > 0)
        case _:
            print(__doc__)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
