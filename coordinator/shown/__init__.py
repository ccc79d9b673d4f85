"""What the coordinator's commands print and its console's pages show."""
