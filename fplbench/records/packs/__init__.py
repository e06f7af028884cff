"""The formats of packed records, a file each."""
