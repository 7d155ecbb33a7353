"""How encoders' vectors become codes of a codebook: plain PyTorch, one file a way."""
