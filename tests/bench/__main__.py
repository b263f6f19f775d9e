"""What Callbox promises of its speed, beside its limits and its peers, in one run: `make bench`."""

import sys

from bench import presses
from bench.figures import table


def main() -> None:
    sys.stdout.write("\n".join(table(presses.rows())) + "\n")


if __name__ == "__main__":
    main()
