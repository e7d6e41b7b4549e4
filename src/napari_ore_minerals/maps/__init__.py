"""Tiles become a mineral map."""
