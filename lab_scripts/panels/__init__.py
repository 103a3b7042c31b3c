"""What `xbar figure` and other commands draw: one style, one form of a panel, a module for each family of panels."""
