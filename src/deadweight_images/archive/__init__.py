"""From bytes to members: archives, documents, compression, walking a tar, digests, the records of an image."""
