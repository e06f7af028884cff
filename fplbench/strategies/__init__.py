"""The built-in strategies, a file each. Their files are part of the core: when one of them computes
other numbers than before, spec.PROTOCOL rises."""
