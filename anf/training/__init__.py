"""Training a flow from the action alone."""
