"""Training: data, steps, the loop and its checkpoints."""
