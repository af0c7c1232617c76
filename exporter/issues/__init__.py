"""Let people list error issues, look at one, and resolve, reopen or ignore them: on the command line and over HTTP."""
