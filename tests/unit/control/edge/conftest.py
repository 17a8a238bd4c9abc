"""Loads the renderer before any test here does, because envoy-data-plane warns while its classes are defined."""

import warnings

from pydantic.warnings import PydanticDeprecatedSince212

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", category=PydanticDeprecatedSince212)
    import control.edge.render  # noqa: F401
