"""What plugin authors and job authors implement, and the types the two sides share."""
