"""Bench instruments over VISA: source-measure units, a multimeter, a temperature stage. See docs/instruments.md."""
