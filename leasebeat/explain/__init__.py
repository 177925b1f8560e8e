"""What became of an instant of a schedule, or why nothing did: from what the tables hold. Pure."""
