"""Which sizes fit: what a cell sees, layers that fit one size, the smallest image."""
