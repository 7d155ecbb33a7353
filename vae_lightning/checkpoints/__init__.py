"""How checkpoints are written, how they are read without running anything of them, and what is expected in them."""
