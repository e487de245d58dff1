"""The program of an exported student: a command that answers files and serves HTTP, with the standard library alone."""
