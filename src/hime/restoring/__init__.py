"""Restoring: exported models, the restorer, whole photographs, batches of files, reports. Without PyTorch."""
