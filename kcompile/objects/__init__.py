"""Classes and functions by name, and objects from configurations."""
