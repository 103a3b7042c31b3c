"""What is measured: observables, and errors that can be believed."""
