"""Personal data: pattern, checksum, context."""
