"""Pure functions from arrays to pictures: no model, no Lightning, no files."""
