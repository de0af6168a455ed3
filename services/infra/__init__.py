"""Infrastructure ports: settings, logging, frames, ledger, results, wake-up; each with an in-memory twin."""
