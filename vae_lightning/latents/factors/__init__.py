"""How well single latents stand for known factors: scores of disentanglement, on NumPy arrays alone."""
