"""What leaves a run: encodings of images, samples from the prior, and the model, for others and other programs."""
