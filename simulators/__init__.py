"""Simulated hardware, link, broker and central: they speak the real wires."""
