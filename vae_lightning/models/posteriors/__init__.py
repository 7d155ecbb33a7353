"""Approximate posteriors q(z|x), one file each: distributions over latents, given what an encoder makes of images."""
