"""Hydra's command line: its configs' top level, its words, its errors in one line."""
