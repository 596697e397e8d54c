"""From the bytes of a sound file to samples."""
