"""What all processes of one gateway share: a small replicated map of keys, revocations, accounts, signing keys."""
