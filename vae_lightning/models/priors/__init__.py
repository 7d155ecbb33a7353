"""Priors p(z), one file each: distributions over latents."""
