"""What a cell leaves on disk: its record, how it is written and read, and checkpoints."""
