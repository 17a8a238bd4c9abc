"""How long backends took lately: estimates of one worker, and their share in those of all. Routes nothing."""
