"""The parts of a VAE and the VAE made of them: plain PyTorch."""
