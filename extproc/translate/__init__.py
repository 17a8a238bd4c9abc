"""Translation: `dialect` says what a dialect does, `canon` what all of them speak of, `attempt` joins two of them."""
