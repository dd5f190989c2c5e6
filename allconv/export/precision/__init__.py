"""Files of fewer bits, and what they cost."""
