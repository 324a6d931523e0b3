"""A flow with a step that must not run twice, for steps that run it: a process imports it from here."""

from __future__ import annotations

import szal_nb as szal

paying = szal.Flow("paying")


@paying.step(once=True)
def pay(n):
    return n


def run_paying():
    """What it pays; it has no record of its own."""
    return szal.run(paying, {"n": 1}, store=None).raise_if_failed().values.pay
