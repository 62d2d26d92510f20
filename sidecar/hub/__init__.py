"""Checkpoints of the Hugging Face hub, in the cache that all of its tools share."""
