"""Landing: what was delivered, when, whether it is whole, and what is missing."""
