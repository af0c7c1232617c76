"""Let people list error issues, look at one, and change them: on the command line and over HTTP."""
