"""OpenBao, HashiCorp Vault and AWS Secrets Manager as a client meets them: requests, tokens, secrets kept fresh."""
