"""Findings in sentences, one module per table. Each says only what rows say, with n and interval, and links to them."""
