"""A part taught from a folder: the artefact on disk, the recipe version that names it, and its judgements."""
