"""Holds a catalog against reality: its files, the installed vLLM, the GPUs."""
