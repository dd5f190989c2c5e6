"""Least squares of convolutions on what a network is fed, in the rooms of `calibrate`."""
