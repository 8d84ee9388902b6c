"""What watches a run: Prometheus with its alert rules, and Grafana with its dashboard."""
