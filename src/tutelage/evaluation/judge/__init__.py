"""Judges: language models that compare or rate answers where there is no reference to score them against.

A judge is a prompted model over an ordinary label task, so it is asked, stored, priced and bound like any candidate.
"""
