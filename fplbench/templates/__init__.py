"""What `fplbench new` writes: a plug-in of each kind that works as it is, to be changed."""
