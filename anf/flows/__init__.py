"""Flows: exact densities whose matrices arrays can hold."""
