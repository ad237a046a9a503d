"""Reports: pages about a model in service, complete in one file each."""
