"""Report formats: one file per format, each exporting ``REPORTS``. They read outcomes only."""
