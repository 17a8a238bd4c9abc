"""The command `ostiary`: the only package that knows all the others (composition root, ADR 0002)."""

__version__ = "0.1.0"
