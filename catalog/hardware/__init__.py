"""What of a catalog runs on which hardware, and the nearest thing that can. Pure."""
