"""Prompt search: the family `prompt-search`, which learns without training."""
