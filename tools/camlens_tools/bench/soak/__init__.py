"""The service at moderate load for a long time: does anything grow, and does any answer change?"""
