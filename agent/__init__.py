"""The daemon in the box on the wall."""

__version__ = "1.0.0"
