"""WHAT may be run: model specs, their YAML, and their rendering. Imports nothing from `proxy`."""
