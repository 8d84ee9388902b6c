"""The roles of a run, from their creation to its end."""
