"""The menu's items, ranked for each daypart."""
