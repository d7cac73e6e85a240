"""What each customer will want next, and what each segment orders in each daypart."""
