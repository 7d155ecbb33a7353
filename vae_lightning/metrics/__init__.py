"""What the evaluate command computes, one file a metric, and how its figures are recorded."""
