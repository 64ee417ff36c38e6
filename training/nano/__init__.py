"""The nano model: its networks, its made-up data and its training stages."""
