"""The ports: what the core asks of the world. Each has a real adapter and a fake, and one
suite of tests that runs on both."""
