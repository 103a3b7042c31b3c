"""The mock board: chip models written from the datasheets, and the physics of the array behind them."""
