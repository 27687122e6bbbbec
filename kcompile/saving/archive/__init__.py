"""``.keras`` archives, of Keras 3 and of tf.keras."""
