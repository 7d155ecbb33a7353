"""Samplers: where latents come from when not from the prior, each fitted once on the codes of training images."""
