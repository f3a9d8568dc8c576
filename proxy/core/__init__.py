"""Decides. Nothing in this package awaits, reads a clock, logs or does I/O; the time is an argument."""
