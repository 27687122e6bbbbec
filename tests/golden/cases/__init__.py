"""The case tables: pure data, read by the generators (in the oracle's environment) and by the tests."""
