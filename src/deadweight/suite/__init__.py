"""Parse the suite file into validated records."""
