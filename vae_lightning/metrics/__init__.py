"""What the evaluate command computes: one file a metric."""
