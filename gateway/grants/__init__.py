"""Access tokens of clouds: what a token endpoint is asked, one token kept fresh, those that policies need."""
