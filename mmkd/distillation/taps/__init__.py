"""Taps: what is read from the networks, and whether it can be."""
