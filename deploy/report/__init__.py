"""A run of the whole loop as one HTML file that needs nothing beside it: table, curves, starts, film strip."""
