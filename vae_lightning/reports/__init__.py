"""Reports: what a set of finished runs tells when they are laid side by side, read from their directories alone."""
