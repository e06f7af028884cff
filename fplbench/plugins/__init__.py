"""Plug-ins: what all kinds have in common, where they are found, and what code each one is."""
