"""Named benchmarks against named rivals. ``python -m bench`` runs them; ``bench/results/`` holds what they measured."""
