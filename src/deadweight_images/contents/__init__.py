"""What is in the view: packages, Go build information, jars, duplicates, what an attacker would like."""
