"""Read any image archive: manifest, config, layers, whiteouts, sizes, hidden files. Knows no engine and no suite."""
