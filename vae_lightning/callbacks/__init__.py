"""When something is drawn or logged while a model trains, and when it is saved."""
