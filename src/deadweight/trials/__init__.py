"""What is found by trying again and again."""
