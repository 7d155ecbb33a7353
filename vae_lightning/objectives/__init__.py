"""What training minimises: plain PyTorch, one file an objective."""
