"""Touches the outside: one module per outside thing."""
