"""Learning curves: what a student scores by the number of examples it learnt from, and what follows from that."""
