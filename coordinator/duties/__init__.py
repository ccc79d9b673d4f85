"""The duties of whoever runs the coordinator, each with how it stands."""
