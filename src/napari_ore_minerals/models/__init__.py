"""What a classifier is."""
