"""Decisions by OPA: the input document, who evaluates it (library or server), its strict reading, the cache."""
