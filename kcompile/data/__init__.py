"""From what users pass to ``fit`` to arrays in feeding order."""
