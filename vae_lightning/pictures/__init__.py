"""The pictures that the generate command draws of a trained run, one file a picture, with their tables."""
