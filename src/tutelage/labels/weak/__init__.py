"""Weak supervision: functions that label some inputs, some of them wrongly, and a model of how far each can be trusted."""
