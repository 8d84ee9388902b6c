"""A Ray cluster that the run attaches to: its head, its nodes, and what of them the roles get."""
