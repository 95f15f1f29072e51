"""What the end-to-end scripts share: a client, a ledger, and things that are taken down again."""
