"""Real attacks on a running image, and which wall stopped each: payloads as data, outcomes from evidence, walls by ablation."""
