"""The embedded world: a renderer, the data sets it draws, and a small CLIP trained on pictures of
its kind, so that everything runs without a download."""
