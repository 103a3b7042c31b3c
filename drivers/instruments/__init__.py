"""Bench instruments over VISA: source-measure units and a multimeter."""
