"""Products of matrices, and softmax."""
