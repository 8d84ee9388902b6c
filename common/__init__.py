"""What two or more roles share: messages, settings, environments, params, seeds, statistics. Never imports torch."""
