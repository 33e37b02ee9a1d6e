"""From raw files to prepared folders: the ``dysign-prep`` command."""
