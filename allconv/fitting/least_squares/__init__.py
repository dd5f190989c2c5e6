"""Layers fitted to images by least squares, one after the other."""
