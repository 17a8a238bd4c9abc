"""Evaluation of detectors, apart from their training. Runs in the environment of requirements/train.in."""
