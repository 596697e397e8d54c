"""Decoding of audio files into clips."""
