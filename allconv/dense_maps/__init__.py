"""Class maps of a finer stride than the network's own: every pixel, without training."""
