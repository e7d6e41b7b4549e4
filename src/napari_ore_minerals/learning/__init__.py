"""Labels become a better model."""
