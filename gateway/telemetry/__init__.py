"""Structured logs that cannot leak, one table of metrics."""
