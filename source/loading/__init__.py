"""`smartcrm load`: files of other people's making into the source tables."""
