"""From a request to its cells, and the cells computed, on one machine or on many."""
