"""What reads run folders: plot, evaluate, compare, status."""
