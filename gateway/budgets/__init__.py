"""Budgets: `model` (types), `window` and `oracle` (pure arithmetic), Lua beside them, `store`, `exact`, `leased`."""
