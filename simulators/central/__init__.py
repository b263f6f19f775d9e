"""A central that keeps the contract: stores by id, sends receipts, signs commands, shows the operator page."""

from simulators.central.bench import Bench
from simulators.central.server import Central

__all__ = ["Bench", "Central"]
