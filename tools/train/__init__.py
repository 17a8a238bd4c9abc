"""Training of what ships as weights. Runs in its own environment (requirements/train.in), never at run time."""
