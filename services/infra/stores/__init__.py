"""What is kept: ledger, results, frames, archive and spool, and the wake-up beside them.

Its modules are imported by name: who needs the ledger loads no SQL, and who needs no wake-up loads no Celery.
"""
