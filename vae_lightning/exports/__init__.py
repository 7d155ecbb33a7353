"""What leaves a run that is no picture: encodings, samples, and the folder they are written to."""
