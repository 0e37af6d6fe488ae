"""Pictures: the image contract, files read and written with all that they carry. Without PyTorch."""
