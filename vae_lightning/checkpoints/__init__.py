"""How checkpoints are written, and read without running anything of them."""
