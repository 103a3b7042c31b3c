"""Write-verify and the calibration of the board; knows nothing of flows."""
