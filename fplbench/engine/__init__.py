"""The algorithm: the loop over rounds, local training of many clients at once, evaluation."""
