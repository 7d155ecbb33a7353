"""Images: what a split is, how it is batched, and where the datasets come from."""
