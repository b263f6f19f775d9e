"""Drivers: one wire each, known to the agent only through `drivers.contract` and the registry."""
