"""``init``: bring in a repository that this tool has never seen, and prove what is written about it.

tree → dockerfiles, compose, languages → Service → rungs → files        what is read, and what is written
files → prove (build, watch, harden, record) → files                    the same again, with what was seen
"""
