"""What is measured side by side: one module each, all on the same networks and images."""
