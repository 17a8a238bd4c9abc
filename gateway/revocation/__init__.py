"""Taking credentials back: what is written down about it, and whom it concerns."""
