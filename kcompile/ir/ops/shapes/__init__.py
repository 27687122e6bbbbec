"""Ops about axes and sizes, and what other families know of axes and element types."""
