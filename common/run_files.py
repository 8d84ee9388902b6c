"""Names of the files in a run folder."""

CONFIG = "config.json"
SUMMARY = "summary.json"
CURVE = "learning_curve.png"
Q_NETWORK = "q_network.pth"
LAST_Q_NETWORK = "last_q_network.pth"
EPISODES = "episodes.parquet"
METRICS = "metrics.parquet"
