"""One project at work: its suite, state and source; what it needs, building, scanning, cleaning."""
