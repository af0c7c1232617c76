"""Deliver events: buffer, writer thread, batches, store, spool and ledger."""
