"""URLs: `link` (where one stands), `host` (whose it is), `payload` (what it carries), `rules` (what is found)."""
