"""What the files of a checkpoint say: shape, weights, tokenizer, chat template, generation defaults."""
