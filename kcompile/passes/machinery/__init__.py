"""What passes are made of: rewriting, reports, counts of work."""
