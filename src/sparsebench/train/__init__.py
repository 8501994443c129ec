"""Training of the reference models that ship with the project, from nothing, on the benchmark's own tasks."""
