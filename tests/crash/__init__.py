"""Crashes: a download that is killed again and again ends whole, and fetches nothing twice that it had."""
