"""The REST service: takes parts to inspect, and tells what became of them."""
