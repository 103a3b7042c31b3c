"""A board's own errors: measured, with uncertainties, into a calibration record. Model: docs/calibration.md."""
