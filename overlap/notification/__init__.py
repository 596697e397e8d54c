"""Messages about the outcome of a run, and the webhook that receives them."""
