"""WHO runs now, and the way in: the scheduler and its shell, the gate and the reverse proxy."""
