"""Checks what is in deploy/, builds the image, and tests nginx in front of the real service."""
