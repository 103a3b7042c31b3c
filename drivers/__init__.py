"""One driver per chip, the board description, and the Crossbar that wires chips to lines."""
