"""What a model says of images in nats: importance sampling, exact means, and what kind of number it is."""
