"""Checkpoint files: what is in a folder, and how its arrays are read."""
