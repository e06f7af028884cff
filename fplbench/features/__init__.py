"""Image features: computed once for each backbone, kept on disk, shared by all cells."""
