"""What `lynceus checkpoint` finds out about a folder of model files before anything is loaded."""
