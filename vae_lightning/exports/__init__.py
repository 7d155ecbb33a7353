"""What leaves a run for other programs: encodings of images, samples from the prior."""
