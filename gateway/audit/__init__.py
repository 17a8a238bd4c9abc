"""One record for each exchange: `record` (pure), `trail` (bounded queue to a file; later the keyed chain)."""
