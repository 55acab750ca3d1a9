"""What one stage hands the next: frozen records, and where they lie on disk."""
