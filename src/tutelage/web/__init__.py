"""Pages for people: served on loopback, whole without a network."""
