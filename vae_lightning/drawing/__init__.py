"""Pure functions from arrays to pictures: no model, no Lightning, nothing written."""
