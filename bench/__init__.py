"""What puremux costs, beside its peers, in one run: ``python -m bench``."""
