"""How a part comes in: its picture, the quality gate, recipes, golden images, submission, capacity."""
