"""The gateway: takes frames from cameras and folders, checks them, and hands them on without losing one."""
