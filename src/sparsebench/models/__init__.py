"""Where models come from, and what is known of a fetched one."""
