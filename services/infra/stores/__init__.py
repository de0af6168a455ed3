"""What is kept: the ledger, results, frames, the archive, the spool, and the wake-up beside them."""
