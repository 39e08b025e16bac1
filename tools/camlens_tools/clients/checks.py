"""Runs checks, each a function with a docstring, and prints one line about each."""

import asyncio
import traceback


def run(checks):
    """Runs the checks, named by their docstrings; returns how many failed."""
    failed = 0
    for check in checks:
        name = f"{check.__module__.rsplit('.', 1)[-1]}: {check.__doc__}"
        try:
            outcome = check()
            if asyncio.iscoroutine(outcome):
                asyncio.run(outcome)
        except Exception:  # Whatever the client raises is the finding.
            failed += 1
            print(f"FAILED {name}\n{traceback.format_exc()}", flush=True)
        else:
            print(f"ok     {name}", flush=True)
    return failed
