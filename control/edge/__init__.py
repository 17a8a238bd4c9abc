"""Envoy configuration as code: `render` builds it, `lint` reads a platform team's own."""
