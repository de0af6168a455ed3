"""What surrounds the engine: storage, cameras in, REST and pages out, and the command line."""
