"""A verifier: the chance that an answer is right, from the input, the answer and how sure whom was of it."""
