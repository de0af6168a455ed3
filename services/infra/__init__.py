"""Infrastructure ports: settings, logging, frames, ledger, results, doorbell; each with an in-memory twin."""
