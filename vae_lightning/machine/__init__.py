"""The machine and this process: hardware, GPUs, ranks, signals, beginning and end."""
