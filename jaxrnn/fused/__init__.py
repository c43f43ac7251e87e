"""LSTM and GRU as one GPU kernel a direction, the loop over time inside it."""
