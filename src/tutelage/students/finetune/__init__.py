"""Fine-tuning with torch; reached only through `registry.load`, since the base install has no torch."""
