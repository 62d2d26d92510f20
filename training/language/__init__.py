"""What can be said: captions with their scenes, questions, and the tokens of text."""
