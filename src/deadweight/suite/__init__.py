"""What is asked for: the suite file, as records."""
