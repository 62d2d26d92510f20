"""What is trained, one module a step, up to the exported checkpoint."""
