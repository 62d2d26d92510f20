"""How often the checkpoint is right, by judges that never saw one of its pictures."""
