"""Recipes: what a config says of losses between two networks, and what it is compiled to."""
