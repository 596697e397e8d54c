"""Networks, the feed from the store, and members in processes of their own."""
