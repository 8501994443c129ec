"""What a model and a method cost on paper: FLOPs of a prompt, bytes of a generated token."""
