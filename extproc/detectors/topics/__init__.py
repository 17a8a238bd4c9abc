"""Topics that a tenant defines by terms or by examples. Nothing here knows a tenant."""
