"""What is sampled: lattice actions, their halves, their exact numbers."""
