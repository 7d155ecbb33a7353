"""Reports: what runs tell when they are laid side by side, read from their directories alone."""
