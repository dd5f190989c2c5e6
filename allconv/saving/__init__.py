"""What is written: drafts beside their place, what `.h5` files do not carry, names of outputs."""
