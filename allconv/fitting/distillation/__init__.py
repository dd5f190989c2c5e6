"""Outputs trained towards the original's."""
