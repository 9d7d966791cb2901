"""The Zarr layout of a store: head, ledger, shards. Knows files, not how to run a network."""
