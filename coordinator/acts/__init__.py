"""What the operator does, by a command or in the console: one function for both."""
