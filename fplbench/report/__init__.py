"""Tables, plots and a page, made from records alone."""
