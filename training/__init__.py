"""How checkpoints/nano was made: one module a step, never imported by the product."""
