"""ext_authz: may this caller ask this, now? `wire` (protobuf) -> `decide` (pure) -> `service`."""
