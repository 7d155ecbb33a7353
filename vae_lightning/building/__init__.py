"""From a config to objects: what fits a signature, what a config from a file may build, and names that have moved."""
