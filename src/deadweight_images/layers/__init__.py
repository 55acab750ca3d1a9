"""From members to a view: indexing layers, putting them over one another, and what lies between members."""
