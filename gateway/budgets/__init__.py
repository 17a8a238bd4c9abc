"""Budgets: `model` (types), `window`, `oracle` (arithmetic), `store`, `exact`, `leased`; `watch`, `board` (alerts)."""
