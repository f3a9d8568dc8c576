"""Brings the weights of models to where the catalog says they are."""
