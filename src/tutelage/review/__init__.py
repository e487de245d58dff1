"""Making labels good: what to look at first, what people decided, and what follows from it."""
