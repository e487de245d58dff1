"""A predictive router: the chance that each candidate is right about an input, and who is asked for it."""
