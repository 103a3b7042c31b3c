"""One module per task a person does; together the command xbar."""

import logging

# Without --verbose and --log-file nothing is logged; Python's own last resort would write to stderr.
logging.getLogger(__name__).addHandler(logging.NullHandler())
