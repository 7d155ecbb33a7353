"""A sweep's jobs: what can't be swept, which directory is whose, and the end of it all."""
