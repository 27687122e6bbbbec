"""The error that a wrong program raises when it is built."""


class IRError(ValueError):
    """A program that cannot be built: the message names the op, the types that it got and what it needs."""
