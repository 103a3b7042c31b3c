"""The page that shows what runs: what is followed (`watch`), who may look (`app`), and the page itself."""
