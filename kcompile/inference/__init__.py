"""Models frozen for inference."""
