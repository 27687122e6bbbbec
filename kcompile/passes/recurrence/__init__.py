"""Recurrent layers as single operators."""
