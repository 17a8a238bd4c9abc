"""Counting tokens offline: `tokenizer` (texts), `prompt` (requests), `picture` (images), `running` (streams)."""
