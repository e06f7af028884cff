"""Data sets that lie on disk: finding, reading, checking, downloading and showing them."""
