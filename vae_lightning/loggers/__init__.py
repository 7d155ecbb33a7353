"""Where figures, pictures, texts and the end of a run go: TensorBoard, metrics.csv, W&B, MLflow, Trackio."""
