"""What Python code calls: opening and using a run, training one; the names are found in `vae_lightning` itself."""
