"""The Celery processes: GPU workers judge parts and write reports, the clerk stores what they found."""
