"""Programs for the work on puremux; never installed."""
