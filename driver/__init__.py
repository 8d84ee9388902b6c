"""The driver: Ray session, resources, supervision, live display and run folder. Never carries a transition."""
