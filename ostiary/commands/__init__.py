"""One module for each group of commands: arguments, and how results are told to people and machines."""
