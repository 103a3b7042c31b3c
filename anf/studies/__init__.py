"""Sampling done to be shown: each study asks for runs, and gives a dataset from which a figure or a table is made."""
