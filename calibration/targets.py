"""Built-in target patterns (stand-in until the real file lands)."""
import numpy as np
PATTERNS = ("AI4S",)
def pattern(name, shape):
    g = np.full(shape, 30e-6); g[8:24, 4:28] = 80e-6
    return g
