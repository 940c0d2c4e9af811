"""SQL of the generator."""
