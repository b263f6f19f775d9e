"""Simulated central command: a store, its receipts, signed commands and the operator page."""
