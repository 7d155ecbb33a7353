"""Encoders and decoders: plain PyTorch, one file an architecture."""
