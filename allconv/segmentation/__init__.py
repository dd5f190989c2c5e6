"""From a class map to every pixel: where the cells of maps lie, so that they meet in place."""
