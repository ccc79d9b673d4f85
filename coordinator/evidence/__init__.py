"""What documents at the coordinator are made of."""
