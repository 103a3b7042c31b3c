"""A run as a page to read, print and pass on: what it is (`page`), how it looks (`pictures`, `template.html`)."""
