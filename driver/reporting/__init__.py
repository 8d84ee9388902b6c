"""What a run is seen by: terminal, run folder, Ray's metrics, TensorBoard, timeline."""
