"""What is known now: of one result, and of the whole installation, in numbers and in sentences."""
