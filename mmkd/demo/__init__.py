"""The demo: teacher, student and distilled student, trained, tested and drawn on real images in minutes."""
