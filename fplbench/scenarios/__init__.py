"""The built-in scenarios, a file each. Their files are part of the core: when one of them deals
other rows than before, spec.PROTOCOL rises."""
