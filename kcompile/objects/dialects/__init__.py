"""What the versions of Keras call things."""
