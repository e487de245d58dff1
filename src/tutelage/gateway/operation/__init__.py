"""Certified operation of a task's cascade: shadow, live under audit, demoted on an alarm."""
