"""Our rows against a download from Botmaker."""
