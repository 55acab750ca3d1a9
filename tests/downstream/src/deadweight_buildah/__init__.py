"""Images made with buildah, and a check of an image's labels."""
