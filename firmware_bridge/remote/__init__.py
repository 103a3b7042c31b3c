"""A board behind TCP or a UART: frames, messages, the server beside the board and the bridge on the host."""
