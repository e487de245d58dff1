"""Preference: who wins against whom, from matches between models on the same inputs.

Matches come from people's votes, a judge's verdicts or scores; ratings by Bradley-Terry with ties, overall, by domain and for one
input. Sources are never mixed: each leaderboard says whose word it is.
"""
