"""Texts to vectors, and transformers served without torch. Only `embeddings.export` needs torch."""
