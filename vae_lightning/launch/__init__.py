"""In which processes a run trains, and what they print."""
