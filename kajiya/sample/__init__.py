"""A small world of our own text, in the formats of the real sources, and a server for it."""
