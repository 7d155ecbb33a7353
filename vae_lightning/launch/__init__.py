"""In which processes a run trains, and what a process prints."""
