"""Several ops as one."""
