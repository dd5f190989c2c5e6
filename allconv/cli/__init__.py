"""The command line: one file for each part of it, in the order in which a command passes them."""
