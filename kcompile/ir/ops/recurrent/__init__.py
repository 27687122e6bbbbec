"""LSTM, GRU and simple recurrence as single ops."""
