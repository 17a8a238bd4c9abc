"""The deterministic OpenAI-compatible upstream of `make run` and the test suites."""
