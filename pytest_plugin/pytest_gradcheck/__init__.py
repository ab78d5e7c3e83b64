"""The pytest plugin of gradcheck-suite. Importing it imports no array library."""
