"""Files written whole and never through a link, locks, and what a full disk must not end."""
