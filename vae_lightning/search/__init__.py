"""Hyperparameter search: Hydra's side, Optuna's side, and the space between them."""
