"""The token service: `form` and `client` read a request, `service` answers it, `token` makes what it hands out."""
