"""One module per outside system; nothing else imports that system."""
