"""Predictions of a trained model, from a checkpoint, a student-only file or an exported one."""
