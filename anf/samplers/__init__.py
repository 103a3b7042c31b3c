"""Markov chains: hybrid Monte Carlo, and Metropolis–Hastings over the proposals of a flow."""
