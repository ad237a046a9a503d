"""Models: feature rows, labels, candidates, the champion, decisions and predictions."""
