"""Build apko variants: melange makes signed APK packages, apko assembles the image."""
