"""Likelihoods p(x|z), one file each: distributions over images in [0, 1], given what a decoder makes of latents."""
