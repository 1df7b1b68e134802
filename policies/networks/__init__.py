"""Networks: each a file, with the shapes at the ends of the lines."""
