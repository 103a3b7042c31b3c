"""One driver per chip, the board description, and the Crossbar that wires chips to lines."""

import logging

# Who uses this decides where its log goes; by itself it writes none to stderr.
logging.getLogger(__name__).addHandler(logging.NullHandler())
