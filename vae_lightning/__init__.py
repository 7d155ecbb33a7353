"""Variational autoencoders on images: PyTorch Lightning experiments with Hydra configs."""
