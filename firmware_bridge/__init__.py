"""The sequencer's instruction set, programs, and the bridges that execute them."""

import logging

# Who uses this decides where its log goes; by itself it writes none to stderr.
logging.getLogger(__name__).addHandler(logging.NullHandler())
