"""From a config to objects: what fits a signature, and what a config from a file may build."""
