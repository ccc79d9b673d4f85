"""What documents at a node are made of."""
