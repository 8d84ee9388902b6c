"""Names of the files in a run folder, and how old its tables may be."""

CONFIG = "config.json"
SUMMARY = "summary.json"
CURVE = "learning_curve.png"
Q_NETWORK = "q_network.pth"
LAST_Q_NETWORK = "last_q_network.pth"
EPISODES = "episodes.parquet"
METRICS = "metrics.parquet"
TENSORBOARD = "tensorboard"
TIMELINE = "timeline.json"

FLUSH_SECONDS = 5.0  # a run writes what has come in so often
