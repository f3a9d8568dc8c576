"""What a model takes, by its config.json, its tensors and its flags: `checkpoint` reads them, the rest is pure."""
