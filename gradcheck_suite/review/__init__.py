"""What is done with reports that are there: merged into one, compared with another, verified."""
