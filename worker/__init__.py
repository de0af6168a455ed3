"""The Celery processes: GPU workers judge parts and write reports, the result writer stores what they found."""
