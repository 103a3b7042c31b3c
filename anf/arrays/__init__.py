"""A flow on arrays: mapping, placement, products with every error, tuning, time and energy."""
