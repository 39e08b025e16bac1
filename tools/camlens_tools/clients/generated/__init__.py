"""Clients that are generated from openapi.yaml, run against the real service."""
