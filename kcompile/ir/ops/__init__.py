"""The ops, one class each; the functions build values. One file per family."""
