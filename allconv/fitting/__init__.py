"""What `calibrate` and `distill` are made of: images, least squares, training, and their scores."""
