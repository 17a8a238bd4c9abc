"""Where answers are kept: sealed, for a while, in Valkey. Knows no request and no rule."""
