"""Where figures go: TensorBoard's event files, metrics.csv, the HPARAMS tab."""
