"""What a step is: tasks, objectives, averaged weights."""
