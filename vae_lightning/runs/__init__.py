"""Run directories: what they hold (records, without torch), how they are opened, resumed and used."""
