"""Training: pictures with their truth, the words to answer with, and the loop that learns from them."""
