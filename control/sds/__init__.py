"""The listener's certificate on its way from a vault's PKI engine to Envoy: `leaf`, `issuing`, `handed`, `service`."""
