"""In which order tensors lie: channels first or last, sequences and volumes as images."""
