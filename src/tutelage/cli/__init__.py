"""The command line: one file a verb; `entry` finds them."""
