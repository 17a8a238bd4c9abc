"""Detectors: one entity a file. They find; policy decides."""
