"""A Ray of the run's own: started fast, with workers forked from a template."""
