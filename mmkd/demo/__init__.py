"""The demo: a student alone and with its teacher, trained, tested and drawn on real images in minutes."""
