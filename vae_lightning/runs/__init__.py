"""Run directories: what they record (without torch), how they are taken, opened, resumed and used."""
