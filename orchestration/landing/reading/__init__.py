"""Read a file of JSON values: decompress it, hash it, and cut it into records with their source lines."""
