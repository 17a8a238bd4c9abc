"""Control plane. Nobody imports it but the `ostiary` command."""
