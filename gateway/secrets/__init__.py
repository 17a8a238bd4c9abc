"""Secrets by reference: peppers and provider keys. Values never leave process memory."""
