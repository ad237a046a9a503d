"""One module per example: public data, delivered as its world would deliver it."""
