"""Models behind the gateway: which of an alias' targets is asked, how often, for how long, and what happens when it fails."""
