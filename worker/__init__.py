"""The Celery processes: GPU workers judge parts and write reports, result writers store what they found."""
