"""Pages of ours, as a real Chromium shows them."""
