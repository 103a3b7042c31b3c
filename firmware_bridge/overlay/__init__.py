"""What turns the gateware into a bitstream for the ZC706: pin plan, constraints, block design."""
