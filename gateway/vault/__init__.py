"""OpenBao and HashiCorp Vault as a client meets them: one request, a token's life, secrets that are kept fresh."""
