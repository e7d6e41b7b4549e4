"""A picture becomes tiles."""
