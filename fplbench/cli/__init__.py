"""The command line: what a user types becomes a request; what comes back is shown."""
