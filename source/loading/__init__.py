"""`smartcrm load`: reading, converting and writing files of any origin."""
