"""The delivery of events: buffer, writer thread, batches, store, spool and ledger."""
