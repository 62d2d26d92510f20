"""The engine: batches of slots, decoded in chunks."""
