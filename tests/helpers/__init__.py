"""What the tests share: networks and files to draw, oracles, and what is held of a conversion."""
