"""What `lynceus quantize` adds to the engine: calibration from a plant's pictures, and what a person sees."""
