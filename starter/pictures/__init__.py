"""Real pictures, and what is said about them."""
