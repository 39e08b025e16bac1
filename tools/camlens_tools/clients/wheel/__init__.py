"""The wheel of python/: built, installed, and used (`make python`)."""
