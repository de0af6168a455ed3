"""What every service stands on: `stores`, `intake`, `process` and `local_redis`."""
